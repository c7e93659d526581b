"""An event loop whose time passes at once: a timeout of minutes is over in no time.

Nothing in it waits for a descriptor; what is fuzzed on it is told by method calls what happens. The
same input so does the same each time, and a loop that would sleep for ever is an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from wsgate import flush, hub, intake, turns


class _Nothing:
    """For a selector: no descriptor is ever ready, and waiting lets the loop's time pass."""

    def __init__(self, loop: TimelessLoop) -> None:
        self._loop = loop

    def select(self, timeout_s: float | None) -> list[Any]:
        assert timeout_s is not None, "the loop waits for something that cannot happen"
        self._loop.now_s += timeout_s
        return []


class TimelessLoop(asyncio.BaseEventLoop):
    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0
        self._selector = _Nothing(self)
        self.complaints: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.complaints.append(context))

    def time(self) -> float:
        return self.now_s

    def _process_events(self, events: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def run(make: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine to its end on such a loop; the gateway's clock is the loop's meanwhile."""
    loop = TimelessLoop()
    real, real_s = flush.now_ms, turns.now_s
    flush.now_ms = hub.now_ms = intake.now_ms = lambda: int(loop.now_s * 1000)
    turns.now_s = lambda: loop.now_s
    try:
        loop.run_until_complete(make())
    finally:
        flush.now_ms = hub.now_ms = intake.now_ms = real
        turns.now_s = real_s
        loop.close()
    assert not loop.complaints, loop.complaints
