"""`wsgate healthcheck`: one question to a gateway's admin port, for whatever runs containers."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from wsgate.tools.admin_port import AddressUnknown, AdminPort, Answer, Unreachable

SUMMARY: Final = "Ask the gateway of these settings whether it works: exit status 0 if so, else 1."
EPILOG: Final = "WS_HOST and WS_ADMIN_PORT say where it is."


class Health(NamedTuple):
    """``reason`` says in one line why it is good, or is not."""

    good: bool
    reason: str


def healthcheck(arguments: Sequence[str]) -> int:
    """Print one line, and return the exit status."""
    parser = argparse.ArgumentParser("wsgate healthcheck", description=SUMMARY, epilog=EPILOG)
    parser.add_argument("--ready", action="store_true", help="ask whether it wants new clients")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=2.0,
        metavar="SECONDS",
        help="how long to wait for an answer (default: 2)",
    )
    told = parser.parse_args(arguments)
    health = ask(os.environ, "/readyz" if told.ready else "/healthz", told.timeout)
    if told.json:
        line = json.dumps({"healthy": health.good, "reason": health.reason})
    else:
        line = f"{'healthy' if health.good else 'unhealthy'}: {health.reason}"
    try:
        # A host may have bytes that are no text.
        print(line.encode("utf-8", "backslashreplace").decode(), flush=True)
    except OSError as error:
        _drop_output()
        print(f"wsgate: cannot write to standard output: {error.strerror}", file=sys.stderr)
        return 1
    return 0 if health.good else 1


def _drop_output() -> None:
    """Or Python would try again when it ends, and say so in its own words."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def ask(environment: Mapping[str, str], path: str, timeout_s: float) -> Health:
    """How the gateway of this environment is."""
    try:
        admin_port = AdminPort.of_environment(environment)
        return judge(f"{admin_port.url}{path}", admin_port.get(path, timeout_s))
    except (AddressUnknown, Unreachable) as error:
        return Health(False, str(error))


def judge(url: str, answer: Answer) -> Health:
    """What an answer means: 200 is good, and 503 says in JSON what is not."""
    if answer.status == 200:
        return Health(True, f"{url} says {answer.body.decode(errors='replace').strip()}")
    try:
        ((what, reasons),) = json.loads(answer.body).items()
        return Health(False, f"{url} says {what}: {', '.join(reasons)}")
    except (ValueError, AttributeError, TypeError):
        return Health(False, f"{url} answers {answer.status}: is it a gateway's WS_ADMIN_PORT?")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"got {text}; expected is a number above 0")
    return seconds
