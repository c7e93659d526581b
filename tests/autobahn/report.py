"""What Autobahn found, as a page, and whether it may be left so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

CATEGORIES = {
    "1": "Framing",
    "2": "Pings and pongs",
    "3": "Reserved bits",
    "4": "Opcodes",
    "5": "Fragmentation",
    "6": "UTF-8",
    "7": "Closing",
    "9": "Limits and performance",
    "10": "Automatic fragmentation",
    "12": "Compression, different payloads",
    "13": "Compression, different parameters",
}

# Why a case that RFC 6455 leaves open comes out as it does.
_LATE = (
    "one text frame comes in pieces, and the first are no UTF-8 already. It would be stricter to"
    " say so before the frame is whole; picows hands over whole frames, and a command is small."
)
NON_STRICT = {"6.4.3": _LATE, "6.4.4": _LATE}

PASSED = {"OK", "INFORMATIONAL"}
LEFT_OPEN = "NON-STRICT"
COLUMNS = ("OK", LEFT_OPEN, "INFORMATIONAL", "UNIMPLEMENTED", "FAILED")

Verdicts = Mapping[str, Mapping[str, Any]]


def order(case: str) -> tuple[int, ...]:
    return tuple(map(int, case.split(".")))


def behaviour(verdict: Mapping[str, Any]) -> str:
    """Of the exchange and of the closing handshake, what is worse."""
    if verdict["behavior"] in (*PASSED, LEFT_OPEN) and verdict["behaviorClose"] not in PASSED:
        return "FAILED"
    return verdict["behavior"] if verdict["behavior"] in COLUMNS else "FAILED"


def complaints(verdicts: Verdicts) -> list[str]:
    """What has to be mended, or explained; empty if the run passed."""
    found = []
    for case in sorted(verdicts, key=order):
        behaved = behaviour(verdicts[case])
        if behaved == LEFT_OPEN:
            if case not in NON_STRICT:
                found.append(f"{case}: {LEFT_OPEN}, and nothing says why")
        elif behaved not in PASSED:
            exchange, closing = verdicts[case]["behavior"], verdicts[case]["behaviorClose"]
            found.append(f"{case}: {exchange}, closing {closing}")
    found += [
        f"{case}: explained as {LEFT_OPEN}, but is {behaviour(verdicts[case])}"
        for case in NON_STRICT
        if case in verdicts and behaviour(verdicts[case]) != LEFT_OPEN
    ]
    return found


def page(verdicts: Verdicts) -> str:
    """docs/conformance.md."""
    counts: dict[str, Counter[str]] = {category: Counter() for category in CATEGORIES}
    for case, verdict in verdicts.items():
        counts[case.partition(".")[0]][behaviour(verdict)] += 1
    rows = [
        f"| {category}.* | {name} |" + cells(counts[category])
        for category, name in CATEGORIES.items()
    ]
    total = sum(counts.values(), Counter())
    lines = [
        "# Conformance",
        "",
        "`make autobahn` runs all cases of the [Autobahn test suite]"
        "(https://github.com/crossbario/autobahn-testsuite) 0.8.2",
        "against an echo endpoint on the gateway's own edge, frames, outbox and closing handshake,",
        "and writes this page. A case counts by the worse of what it says of the exchange and of",
        "the closing handshake. *Informational* cases measure, or have no right outcome.",
        "",
        "| cases | what |" + "".join(f" {column.lower()} |" for column in COLUMNS),
        "|---|---|" + "---:|" * len(COLUMNS),
        *rows,
        "| all | |" + cells(total),
        "",
        f"## {LEFT_OPEN.lower().capitalize()}",
        "",
    ]
    open_cases = [
        case for case in sorted(verdicts, key=order) if behaviour(verdicts[case]) == LEFT_OPEN
    ]
    if not open_cases:
        lines.append("None.")
    lines += [f"- **{case}**: {NON_STRICT.get(case, 'not explained')}" for case in open_cases]
    return "\n".join([*lines, ""])


def cells(counted: Mapping[str, int]) -> str:
    return "".join(f" {counted.get(column, 0)} |" for column in COLUMNS)
