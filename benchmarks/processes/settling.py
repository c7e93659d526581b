"""Waiting for what nobody announces: that a number has stopped changing."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.fanout.child import Failure

LOOK_S = 0.5
TIMEOUT_S = 30


def settled(look: Callable[[], float], share: float = 0.0) -> float:
    """The number once it moves by no more than that share of it from one look to the next."""
    deadline = time.monotonic() + TIMEOUT_S
    before = look()
    while True:
        time.sleep(LOOK_S)
        now = look()
        if abs(now - before) <= share * abs(before):
            return now
        if time.monotonic() > deadline:
            raise Failure(f"still changing after {TIMEOUT_S} s: {before:g}, {now:g}")
        before = now
