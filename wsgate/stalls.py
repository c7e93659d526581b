"""Stalls: how long the event loop lets its callers wait, and the garbage collector the loop.

A timer tells: as late as it is called, so late is everything that came meanwhile.
"""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Final

from wsgate.histogram import Histogram

LOOK_INTERVAL_S: Final = 0.1
LAGS_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
PAUSES_S: Final = (0.0001, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
GENERATIONS: Final = 3

now_s = time.perf_counter


class Stalls:
    """Observes from :meth:`start` to :meth:`stop`. The collector belongs to the whole process.

    ``lag``: of a timer, ten times a second. ``pauses``: of each collection, by its generation.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0
        self._collection_began_s = 0.0
        self.lag = Histogram(LAGS_S)
        self.pauses = [Histogram(PAUSES_S) for _ in range(GENERATIONS)]

    def start(self) -> None:
        self._look_again()
        gc.callbacks.append(self._collecting)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            gc.callbacks.remove(self._collecting)
            self._timer = None

    def _look_again(self) -> None:
        self._due_s = now_s() + LOOK_INTERVAL_S
        self._timer = self._loop.call_later(LOOK_INTERVAL_S, self._look)

    def _look(self) -> None:
        # A loop whose clock has whole milliseconds may also be early.
        self.lag.observe(max(0.0, now_s() - self._due_s))
        self._look_again()

    def _collecting(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._collection_began_s = now_s()
        else:
            self.pauses[info["generation"]].observe(now_s() - self._collection_began_s)
