"""``make fuzz``: fuzz all targets or one for some seconds, or see one input again."""

from __future__ import annotations

import argparse
import faulthandler
import sys
from pathlib import Path

from tests.fuzz import registry

HANGS_S = 30  # then a repeated input is taken to hang


def main() -> int:
    if sys.argv[1:2] == ["--engine"]:
        from tests.fuzz import engine  # needs atheris, which replaying does not

        engine.run(sys.argv[2], float(sys.argv[3]), sys.argv[4:])
    options = _options()
    if options.repro is not None:
        return _repeat(options.repro)
    from tests.fuzz import campaign

    findings = campaign.run(options.target or registry.names(), options.seconds)
    print(f"{len(findings)} findings")
    for finding in findings:
        print(f"  make fuzz REPRO={finding}")
    return 1 if findings else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together")
    parser.add_argument("--target", action="append", choices=registry.names())
    parser.add_argument(
        "--repro", type=Path, help="a finding, or any file in a folder of that name"
    )
    return parser.parse_args()


def _repeat(path: Path) -> int:
    """Let what happens happen: an error of Python, a report of a sanitizer, a hang."""
    name = path.parent.name
    if name not in registry.names():
        print(f"{path} is not in a folder named after a target: {', '.join(registry.names())}")
        return 2
    faulthandler.dump_traceback_later(HANGS_S, exit=True)
    registry.load(name).check(path.read_bytes())
    print(f"{path}: nothing wrong with it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
