"""Clients that ask a gateway for what they missed before it knows: they wait until it does.

A gateway that has just started takes clients at once, and its sources have yet to tell it where the
channels stand. To say then that nothing can be recovered would be true, and a pity. So the command
waits, and what follows it; but not for long, since the origin may be away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import Final, Generic, Protocol, TypeVar

from wsgate.protocol import Subscribe
from wsgate.session import Session

PATIENCE_S: Final = 10.0
PORTION: Final = 20  # clients that go on in one round of the event loop


class Connection(Protocol):
    """What Filling needs of a connection."""

    session: Session


_C = TypeVar("_C", bound=Connection)


class Filling(Generic[_C]):
    """``go_on(connection, command, messages)``: carry out the command, then what came behind it."""

    def __init__(self, go_on: Callable[[_C, Subscribe, list[bytes]], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._go_on = go_on
        self._waiting: dict[_C, Subscribe] = {}
        self._impatience: asyncio.TimerHandle | None = None
        self._releasing: asyncio.Handle | None = None

    def wait(self, connection: _C, command: Subscribe) -> None:
        """The command is carried out once the sources have told, or after ``PATIENCE_S``."""
        connection.session.begin_waiting()
        self._waiting[connection] = command
        if self._impatience is None:
            self._impatience = self._loop.call_later(PATIENCE_S, self.over)

    def over(self) -> None:
        """All that can be known is known: everybody goes on, some in each round of the loop."""
        self._cancel()
        if self._waiting:
            self._releasing = self._loop.call_soon(self._release)

    def _release(self) -> None:
        for connection in list(islice(self._waiting, PORTION)):
            command = self._waiting.pop(connection)
            self._go_on(connection, command, connection.session.stop_waiting())
        self.over()

    def left(self, connection: _C) -> None:
        """The connection is gone."""
        self._waiting.pop(connection, None)

    def stop(self) -> None:
        self._cancel()
        self._waiting.clear()

    def _cancel(self) -> None:
        for handle in (self._impatience, self._releasing):
            if handle is not None:
                handle.cancel()
        self._impatience = self._releasing = None
