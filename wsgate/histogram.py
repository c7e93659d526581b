"""A histogram as cheap as a counter: plain ints, and one bisection for each observation.

What may happen thousands of times a second is observed here; whoever scrapes makes of it what
metrics look like.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise


class Histogram:
    """``bounds``, ascending, are the highest values of their buckets; one more has the rest."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        if not bounds or any(low >= high for low, high in pairwise(bounds)):
            raise ValueError(f"bounds of a histogram are some and ascending, not {bounds!r}")
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.sum: float = 0.0

    @classmethod
    def counted(cls, bounds: Sequence[float], counts: Sequence[int], sum: float) -> Histogram:
        """One that somebody else has counted: for each bound those up to it, and the rest."""
        made = cls(bounds)
        if len(counts) != len(made.counts):
            raise ValueError(f"{len(bounds)} bounds have one count more, not {len(counts)}")
        made.counts = list(counts)
        made.sum = sum
        return made

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """How many were observed."""
        return sum(self.counts)
