"""Runs the Autobahn test suite against the gateway's edge, and writes docs/conformance.md.

Exit status 1 if a case failed, or was left open without a word on why; 0 where there is no CPython
2.7, which the suite needs.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog
import uvloop

from tests.autobahn import report, suite
from tests.autobahn.echo import echo_endpoint

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"
ALL = "*"


async def verdicts(python: Path, cases: list[str]) -> report.Verdicts:
    async with echo_endpoint() as port:
        return await suite.run(python, port, cases)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make autobahn", description=__doc__)
    parser.add_argument(
        "cases", nargs="*", default=[ALL], help="some only, as '6.*'; the page is then left alone"
    )
    cases: list[str] = parser.parse_args(argv).cases
    python = suite.python27()
    if python is None:
        print(
            "Autobahn was not run: its test suite needs CPython 2.7, and there is none.\n"
            "Put python2.7 into PATH, install it with pyenv, or set PYTHON27=/path/to/python2.7.",
            file=sys.stderr,
        )
        return 0
    suite.OUT.mkdir(parents=True, exist_ok=True)
    try:
        suite.install(python)
    except subprocess.CalledProcessError:
        print(f"The suite could not be installed for {python}: see above.", file=sys.stderr)
        return 1
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    found = uvloop.run(verdicts(python, cases))
    if cases == [ALL]:
        PAGE.write_text(report.page(found))
    complaints = report.complaints(found)
    print(f"{len(found)} cases; each in detail: {suite.OUT / 'reports' / 'index.html'}")
    print("\n".join(complaints) if complaints else "All passed.")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
