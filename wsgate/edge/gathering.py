"""Gathering: clients that come fast are accepted a few at a time.

A handshake is much code and little work. Where the machine does something else between two of them,
half of the time goes by waiting for memory; four in a row find the caches warm. So once all who
waited are accepted, nobody is for ``PAUSE_S``. The first of a group waits for nothing, nor does who
comes alone; in a rush, where there always is somebody, there is no pause.

The event loop's server cannot be told to pause. But it asks the kernel which descriptors are ready,
and that can be told to keep quiet about one of them. Its own record of what it asked for stays as
it was, so that it neither notices nor undoes this.
"""

from __future__ import annotations

import asyncio
import os
import select
from contextlib import suppress
from typing import Final

PAUSE_S: Final = 0.002
GROUP_LEAST: Final = 2
# Pauses in a row that gathered nobody, and how long there are none then. A client that comes again
# and again, one connection after the other, would be slowed down for nothing.
VAIN_MAX: Final = 4
REST_S: Final = 0.1


class Gathering:
    """For one listening descriptor of a loop that polls with the epoll ``poll_descriptor``.

    ``pauses`` counts them. OSError if there is no descriptor left for it.
    Cost: a callback for each client accepted, a timer for each pause.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, poll_descriptor: int, listening: int
    ) -> None:
        self._loop = loop
        self._poll = select.epoll.fromfd(os.dup(poll_descriptor))  # which closes what it is given
        self._listening = listening
        self._file = os.fstat(listening).st_ino
        self._group = 0  # accepted since the last pause
        self._group_before = 0  # ... when that was last looked at
        self._vain = 0
        self._rested_at_s = 0.0
        self._next: asyncio.Handle | None = None  # to look at the group, or to end the pause
        self.pauses = 0

    def accepted(self) -> None:
        """One client more; to be called for each."""
        self._group += 1
        if self._next is None:
            self._next = self._loop.call_soon(self._look)

    def stop(self) -> None:
        """Pause no more. The descriptor is left as it is: it is about to be closed."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self._poll.close()

    def _look(self) -> None:
        """Pause once nobody waits: the loop accepts one client each time round."""
        if self._group > self._group_before:
            self._group_before = self._group
            self._next = self._loop.call_soon(self._look)
            return
        self._vain = 0 if self._group >= GROUP_LEAST else self._vain + 1
        self._group = self._group_before = 0
        now_s = self._loop.time()
        if self._vain > VAIN_MAX:
            self._vain = 0
            self._rested_at_s = now_s + REST_S
        if now_s < self._rested_at_s:
            self._next = None
            return
        self.pauses += 1
        self._ask_for(0)
        self._next = self._loop.call_later(PAUSE_S, self._go_on)

    def _go_on(self) -> None:
        self._next = None
        self._ask_for(select.EPOLLIN)

    def _ask_for(self, events: int) -> None:
        # Out of descriptors libuv may have closed it, and a client's have its number by now.
        with suppress(OSError):
            if os.fstat(self._listening).st_ino == self._file:
                self._poll.modify(self._listening, events)
