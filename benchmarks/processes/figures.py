"""Figures with their targets: what counts of several runs, and the table that says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from statistics import median
from typing import Any


class Kind(StrEnum):
    FAULT = "fault"
    """Must not be, whatever the machine's speed: held by a short run too."""
    TIME = "time"
    """Depends on the machine; of several runs the worst counts."""
    COST = "cost"
    """Depends on the machine; of several runs the median counts."""
    DOUBT = "doubt"
    """Past its limit the measurement is at fault, not the gateway."""


@dataclass(frozen=True)
class Figure:
    """Without a limit it only tells."""

    name: str
    value: float
    meaning: str
    kind: Kind = Kind.TIME
    at_most: float | None = None
    exactly: float | None = None

    @property
    def within(self) -> bool:
        if self.exactly is not None:
            return self.value == self.exactly
        return self.at_most is None or self.value <= self.at_most

    @property
    def target(self) -> str:
        if self.exactly is not None:
            return f"exactly {number(self.exactly)}"
        return "" if self.at_most is None else f"at most {number(self.at_most)}"

    def of(self, what: str) -> Figure:
        """The same figure of one of several that are measured."""
        return replace(self, name=f"{self.name}, {what}")

    def plain(self) -> dict[str, Any]:
        return {**asdict(self), "within": self.within}


def exactly(name: str, value: float, right: float, meaning: str) -> Figure:
    return Figure(name, value, meaning, Kind.FAULT, exactly=right)


def fault(name: str, value: float, meaning: str) -> Figure:
    return exactly(name, value, 0, meaning)


def doubt(name: str, value: float, limit: float, meaning: str) -> Figure:
    return Figure(name, value, meaning, Kind.DOUBT, at_most=limit)


def without_targets(figures: Sequence[Figure]) -> list[Figure]:
    """Of a short run only faults are held to anything: it says too little of the rest."""
    return [one if one.kind is Kind.FAULT else replace(one, at_most=None) for one in figures]


def combined(runs: Sequence[Sequence[Figure]]) -> list[Figure]:
    """One figure for each name, of all runs."""
    return [_combined(same) for same in zip(*runs, strict=True)]


def _combined(same: Sequence[Figure]) -> Figure:
    if same[0].kind is Kind.FAULT:
        return next((one for one in same if not one.within), same[0])
    if same[0].kind is Kind.COST or same[0].at_most is None:
        return replace(same[0], value=median(one.value for one in same))
    return max(same, key=lambda one: one.value)


def missed(figures: Sequence[Figure]) -> list[Figure]:
    return [one for one in figures if one.kind is not Kind.DOUBT and not one.within]


def table(title: str, figures: Sequence[Figure]) -> str:
    lines = [title, ""]
    for one in figures:
        verdict = "" if not one.target else "met" if one.within else "MISSED"
        if one.kind is Kind.DOUBT and verdict:
            verdict = "" if one.within else "DOUBT"
        value = number(one.value)
        lines.append(f"  {one.name:34}{value:>10}  {one.target:15} {verdict:7} {one.meaning}")
    return "\n".join(lines) + "\n"


def number(value: float) -> str:
    if value == 0 or abs(value) >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"
