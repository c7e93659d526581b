"""When to flush: at the end of the tick or of the window, in slices that let the loop go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from wsgate.core.fanout import Fanout
from wsgate.histogram import Histogram

SLICE_S = 0.004  # how long a flush may keep the loop from reading, accepting and answering NATS ...
ALONE_SLICES = 5  # ... and how many times that while nothing of the kind waits
VISITS_LEAST = 64
VISITS_MOST = 100_000
VISITS_AT_FIRST = 800  # one costs about 5 µs of the kernel's time
LATENCIES_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
SLICES_S = (0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)


now_s = time.perf_counter


def now_ms() -> int:
    """Milliseconds of the monotonic clock: the only time the core ever sees."""
    return time.monotonic_ns() // 1_000_000


class Flushing:
    """Runs the core's flushes on the loop; ``after`` is called when a slice is done.

    Publications wait for the end of the tick, or, with a window, until the last flush began at
    least ``window_s`` ago: quiet clients wait for nothing, busy ones get one write a window.
    Replies always leave at the end of the tick.

    ``latency`` has one value for each flush, from when the first of its publications came until
    the last was written: what none of its deliveries took longer than, but for clients that are
    not ready, or want a lower rate. ``slices`` has how long each slice took.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        core: Fanout,
        window_s: float,
        after: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._core = core
        self.window_s = window_s
        self._after = after
        self._visits = VISITS_AT_FIRST
        self._next_s = 0.0  # no flush of publications begins before
        self._publications: asyncio.Handle | None = None
        self._replies: asyncio.Handle | None = None
        self._at_end_of_tick = False  # `_publications` is, and waits for no window
        self._came_s: float | None = None  # the first publication that no flush has begun with
        self._flushed_came_s: float | None = None  # ... and that of the flush under way
        self.slices = Histogram(SLICES_S)
        self.latency = Histogram(LATENCIES_S)

    def publication_came(self) -> None:
        """Somebody wants what the core was just given."""
        if self._came_s is None:
            self._came_s = now_s()
        if self._publications is None:
            self.publications_wait()

    def publications_wait(self) -> None:
        """There is something for ``Fanout.flush`` to do."""
        if self._publications is None:
            delay_s = self._next_s - self._loop.time() if self.window_s else 0.0
            if delay_s > 0:
                self._publications = self._loop.call_later(delay_s, self._begin)
            else:
                self._publications = self._loop.call_soon(self._begin)
                self._at_end_of_tick = True

    def flush_now(self) -> None:
        """Do at once what was left for the end of the tick; a window is still waited for.

        The event loop's next round comes after everything that clients ask for in this one.
        """
        if self._at_end_of_tick and self._publications is not None:
            self._publications.cancel()
            self._begin()

    def replies_wait(self) -> None:
        """Somebody is owed a reply."""
        if self._replies is None:
            self._replies = self._loop.call_soon(self._flush_replies)

    def stop(self) -> None:
        """Flush no more."""
        for handle in (self._publications, self._replies):
            if handle is not None:
                handle.cancel()

    def _begin(self) -> None:
        self._at_end_of_tick = False
        if self._core.owes_publications:  # a flush of nothing opens no window
            self._next_s = self._loop.time() + self.window_s
        self._flushed_came_s, self._came_s = self._came_s, None
        self._slice()

    def _slice(self) -> None:
        began_s = now_s()
        visited = self._core.delivery.visited
        more = 0 if self._replies is not None else (ALONE_SLICES - 1) * self._visits
        unfinished = self._core.flush(now_ms(), self._visits, more)
        ended_s = now_s()
        self.slices.observe(ended_s - began_s)
        self._adapt(ended_s - began_s, self._core.delivery.visited - visited)
        self._publications = self._loop.call_soon(self._slice) if unfinished else None
        if not unfinished:
            self._note_latency(ended_s)
        self._after()
        if self._core.owes_publications:
            self.publications_wait()

    def _note_latency(self, ended_s: float) -> None:
        if self._flushed_came_s is not None:
            self.latency.observe(ended_s - self._flushed_came_s)
            self._flushed_came_s = None
        if not self._core.owes_publications:  # what came meanwhile went along
            self._came_s = None

    def _flush_replies(self) -> None:
        unfinished = self._core.delivery.flush_urgent(self._visits)
        self._replies = self._loop.call_soon(self._flush_replies) if unfinished else None
        self._after()

    def _adapt(self, took_s: float, visited: int) -> None:
        """Let the next slice take about SLICE_S: what a visit costs depends on machine and load."""
        if visited >= self._visits and took_s > 0:
            wanted = int(SLICE_S / took_s * visited)
            wanted = min(2 * self._visits, max(self._visits // 2, wanted))
            self._visits = min(VISITS_MOST, max(VISITS_LEAST, wanted))
