"""A finding: what was looked at, whether it will do, and what mends it if it will not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """It works, but not as well as it could, or not for long."""
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """``mend`` is a command, or a setting. What is ok has neither ``expected`` nor ``mend``."""

    topic: str
    verdict: Verdict
    found: str
    expected: str = ""
    mend: str = ""


def ok(topic: str, found: str) -> Finding:
    return Finding(topic, Verdict.OK, found)


def warning(topic: str, found: str, *, expected: str, mend: str) -> Finding:
    return Finding(topic, Verdict.WARNING, found, expected, mend)


def problem(topic: str, found: str, *, expected: str, mend: str) -> Finding:
    return Finding(topic, Verdict.PROBLEM, found, expected, mend)
