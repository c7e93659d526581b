"""Ebb: when a crowd has left, its memory goes back to the system.

The allocator keeps what was freed, for whoever comes next. After a crowd that is a lot to keep; and
what lives on lies scattered over it, so that the next crowd needs more than this one did.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

CROWD: Final = 500  # connections; the memory of fewer is not worth the few ms
SETTLE_S: Final = 0.1  # for which nobody leaves


class Ebb:
    """``give_back()`` is called once half of a crowd has left, and nobody else is leaving."""

    def __init__(self, give_back: Callable[[], object]) -> None:
        self._give_back = give_back
        self._loop = asyncio.get_running_loop()
        self._most = 0
        self._now = 0
        self._timer: asyncio.TimerHandle | None = None

    def came(self, connections: int) -> None:
        """There are so many now."""
        self._now = connections
        self._most = max(self._most, connections)

    def left(self, connections: int) -> None:
        """There are so many left."""
        self._now = connections
        if self._timer is None and self._most >= CROWD and 2 * connections <= self._most:
            self._timer = self._loop.call_later(SETTLE_S, self._settle, connections)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _settle(self, before: int) -> None:
        if self._now < before:
            self._timer = self._loop.call_later(SETTLE_S, self._settle, self._now)
            return
        self._timer = None
        self._most = self._now
        self._give_back()
