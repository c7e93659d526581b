"""The timing wheel: every operation should cost the same however many timers there are."""

from __future__ import annotations

import random

import pytest

from benchmarks.micro.meter import Meter
from wsgate.core.wheel import Wheel

OPERATIONS = 200_000
SPAN_MS = 30_000

sizes = pytest.mark.parametrize("size", [10, 10_000, 100_000])


class Timers:
    """Deadlines for `size` nodes, in an order in which no two neighbours share a bucket."""

    def __init__(self, size: int) -> None:
        chance = random.Random(1)
        self.now_ms = 0
        self.delays = [(node, chance.randrange(1, SPAN_MS)) for node in range(size)]
        chance.shuffle(self.delays)
        self.wheel = Wheel(0)
        self.due: list[int] = []

    def schedule(self) -> None:
        schedule, now_ms = self.wheel.schedule, self.now_ms
        for node, delay in self.delays:
            schedule(node, now_ms + delay)

    def cancel(self) -> None:
        cancel = self.wheel.cancel
        for node, _ in self.delays:
            cancel(node)

    def expire(self) -> None:
        self.now_ms += SPAN_MS + 16
        self.due = self.wheel.expire(self.now_ms)


def rounds(size: int) -> int:
    return max(5, min(1_000, OPERATIONS // size))


@sizes
def test_schedule(meter: Meter, size: int) -> None:
    timers = Timers(size)
    ns = meter.time(timers.schedule, setup=timers.cancel, rounds=rounds(size))
    timers.expire()
    assert len(timers.due) == size
    meter.note(
        "wheel: schedule",
        size,
        "timers",
        ns_per_operation=(ns / size, "a deadline for one more timer, called from Python"),
    )


@sizes
def test_cancel(meter: Meter, size: int) -> None:
    timers = Timers(size)
    ns = meter.time(timers.cancel, setup=timers.schedule, rounds=rounds(size))
    timers.expire()
    assert timers.due == []
    meter.note(
        "wheel: cancel",
        size,
        "timers",
        ns_per_operation=(ns / size, "a deadline forgotten, called from Python"),
    )


@sizes
def test_expire(meter: Meter, size: int) -> None:
    timers = Timers(size)
    ns = meter.time(timers.expire, setup=timers.schedule, rounds=rounds(size))
    assert len(timers.due) == size
    meter.note(
        "wheel: expire",
        size,
        "timers",
        ns_per_operation=(
            ns / size,
            "one timer due; 30 s of ticks pass in one call, which few timers share",
        ),
    )
