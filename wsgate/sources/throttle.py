"""Keeps a log readable while the same thing goes wrong again and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable


class Throttle:
    """Admits a key at once, then not again for an interval, and counts what it held back.

    Keys are kept for ever: use configured things (a server, a subject), nothing a stranger can
    invent.
    """

    def __init__(self, interval_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._next: dict[Hashable, float] = {}
        self._held: dict[Hashable, int] = {}

    def admit(self, key: Hashable) -> int | None:
        """None: keep quiet. A number: speak, and this many were held back since last time."""
        now = self._clock()
        if now < self._next.get(key, now):
            self._held[key] = self._held.get(key, 0) + 1
            return None
        self._next[key] = now + self._interval_s
        return self._held.pop(key, 0)

    def forget(self, key: Hashable) -> None:
        """That trouble is over: the next of its kind is news again."""
        self._next.pop(key, None)
        self._held.pop(key, None)
