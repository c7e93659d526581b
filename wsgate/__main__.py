"""The command ``wsgate``, which ``python -m wsgate`` is as well.

A health check runs every few seconds, all day: it takes a short way, past Typer and what Typer
imports, in a third of the time.
"""

from __future__ import annotations

import sys


def main() -> None:
    if sys.argv[1:2] == ["healthcheck"]:
        from wsgate.tools.healthcheck import healthcheck

        raise SystemExit(healthcheck(sys.argv[2:]))
    from wsgate import cli

    cli.main()


if __name__ == "__main__":
    main()
