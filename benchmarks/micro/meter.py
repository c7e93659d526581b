"""One benchmark into figures, each with what it means, and all of them into a table.

A figure is the fastest of a fixed number of rounds of fixed work: whatever else the machine does
can only make a round slower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

FLAT_UP_TO = 0.5


@dataclass(frozen=True, slots=True)
class Figure:
    series: str
    """What was measured; figures of one series differ in size alone."""
    size: int
    of: str
    """What there were `size` of."""
    unit: str
    value: float
    means: str


class Meter:
    """Runs the rounds of one benchmark and notes its figures."""

    def __init__(
        self,
        benchmark: Any,
        figures: list[Figure],
        *,
        timer: Callable[[], float],
        short: bool,
    ) -> None:
        self._benchmark = benchmark
        self._figures = figures
        self._timer = timer
        self._short = short

    def time(
        self, work: Callable[[], object], *, rounds: int, setup: Callable[[], object] | None = None
    ) -> float:
        """Nanoseconds that `work` takes; `setup` goes untimed before each round."""

        def before() -> None:
            if setup is not None:
                setup()

        self._benchmark.pedantic(
            work, setup=before, rounds=self._rounds(rounds), iterations=1, warmup_rounds=1
        )
        if self._benchmark.stats is None:
            return 0.0  # --benchmark-disable
        return self._benchmark.stats.stats.min * 1e9

    def time_aside(
        self, work: Callable[[], object], *, rounds: int, setup: Callable[[], object] | None = None
    ) -> float:
        """The same for what a figure needs besides: pytest-benchmark times one thing a test."""
        fastest = float("inf")
        for _ in range(self._rounds(rounds) + 1):
            if setup is not None:
                setup()
            start = self._timer()
            work()
            fastest = min(fastest, self._timer() - start)
        return fastest * 1e9

    def note(self, series: str, size: int, of: str, **figures: tuple[float, str]) -> None:
        """Keep figures, given as ``ns_per_something=(value, what it means)``."""
        if self._benchmark.stats is None:
            return
        info = self._benchmark.extra_info
        info[of.replace(" ", "_")] = size
        for unit, (value, means) in figures.items():
            info[unit] = round(value, 1)
            self._figures.append(Figure(series, size, of, unit, value, means))
        info["means"] = "; ".join(f"{unit}: {means}" for unit, (_, means) in figures.items())

    def _rounds(self, rounds: int) -> int:
        return max(2, rounds // 10) if self._short else rounds


def table(figures: Sequence[Figure]) -> Iterator[str]:
    """Every figure, under the line that says what it means."""
    for (series, unit), shapes in _by_series(figures):
        yield f"{series}, {_words(unit)}: {shapes[0].means}"
        for shape in shapes:
            yield f"  {shape.value:12,.1f} ns   {shape.size:>7,} {shape.of}"


def growth(figures: Sequence[Figure]) -> Iterator[str]:
    """For every series, from its smallest to its largest shape, how much the figure grows."""
    for (series, unit), shapes in _by_series(figures):
        if len(shapes) < 2:
            continue
        first, last = shapes[0], shapes[-1]
        yield (
            f"{series}, {_words(unit)}: {first.value:,.1f} → {last.value:,.1f} ns"
            f" from {first.size:,} to {last.size:,} {last.of}: {_judged(shapes)}"
        )


def _judged(shapes: Sequence[Figure]) -> str:
    values = [shape.value for shape in shapes]
    if min(values) <= 0:
        return "too little to compare"
    spread = max(values) / min(values) - 1
    if spread <= FLAT_UP_TO:
        return f"flat within {spread:.0%}".replace("%", " %")
    if values[-1] < values[0]:
        return f"falls to x {values[-1] / values[0]:.2g}"
    return f"x {values[-1] / values[0]:.2g}, not flat ({min(values):,.1f} to {max(values):,.1f} ns)"


def _by_series(figures: Sequence[Figure]) -> Iterator[tuple[tuple[str, str], list[Figure]]]:
    def key(figure: Figure) -> tuple[str, str]:
        return figure.series, figure.unit

    for name, shapes in groupby(sorted(figures, key=key), key):
        yield name, sorted(shapes, key=lambda shape: shape.size)


def _words(unit: str) -> str:
    return unit.replace("_", " ")
