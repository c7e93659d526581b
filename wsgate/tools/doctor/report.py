"""How findings are told: lines for people, JSON for machines."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import orjson
from rich.console import Console
from rich.text import Text

from wsgate.tools.doctor.finding import Finding, Verdict

STYLES: Final = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.PROBLEM: "bold red"}
_VERDICT_WIDTH: Final = 9
_TOPIC_WIDTH: Final = 12
_INDENT: Final = " " * (_VERDICT_WIDTH + _TOPIC_WIDTH)


def as_json(findings: Sequence[Finding]) -> str:
    report = {"verdict": worst(findings), "findings": findings}
    return orjson.dumps(report, option=orjson.OPT_INDENT_2).decode()


def print_lines(findings: Sequence[Finding], console: Console) -> None:
    """Broken at the edge of a terminal; elsewhere a line is as long as it is."""
    width = console.width if console.is_terminal else None
    for finding in findings:
        for line in _lines(finding, width):
            console.print(line, soft_wrap=True)
    console.print(_summary(findings))


def worst(findings: Sequence[Finding]) -> Verdict:
    order = list(Verdict)
    return max((one.verdict for one in findings), key=order.index, default=Verdict.OK)


def _lines(finding: Finding, width: int | None) -> Iterator[Text]:
    first, *others = _folded(finding.found, width)
    yield Text.assemble(
        (f"{finding.verdict:<{_VERDICT_WIDTH}}", STYLES[finding.verdict]),
        (f"{finding.topic:<{_TOPIC_WIDTH}}", "bold"),
        first,
    )
    for line in others:
        yield Text(f"{_INDENT}{line}")
    for label, text in (("expected", finding.expected), ("mend", finding.mend)):
        for line in _folded(f"{label}: {text}" if text else "", width):
            yield Text(f"{_INDENT}{line}", "" if label == "expected" else "cyan")


def _folded(text: str, width: int | None) -> list[str]:
    if width is None:
        return text.splitlines()
    return textwrap.wrap(
        text, max(20, width - len(_INDENT)), break_long_words=False, break_on_hyphens=False
    )


def _summary(findings: Sequence[Finding]) -> Text:
    counted = Counter(one.verdict for one in findings)
    counts = (
        f"{counted[verdict]} {name}{'' if counted[verdict] == 1 else 's'}"
        for verdict, name in ((Verdict.PROBLEM, "problem"), (Verdict.WARNING, "warning"))
    )
    return Text(f"{', '.join(counts)}, {counted[Verdict.OK]} ok", STYLES[worst(findings)])
