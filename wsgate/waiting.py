"""Waiting: what clients send while something is fetched for them, a key or what they missed.

It is kept, in order, until that is there. Of who sends much no more is read meanwhile: the rest
lies in the kernel, or with the client, so that all that the rates allow may be sent. What was read
already is kept all the same, and a little of it can inflate to much: so there is a bound for all
together, and past it a client has to come back later.
"""

from __future__ import annotations

from typing import Final, Generic, Protocol, TypeVar

from wsgate.session import Session

BYTES_MAX: Final = 65_536  # of one connection; then it is held back
ALL_BYTES_MAX: Final = 64 * 1024 * 1024  # of all; those that are held back have half of it
MESSAGE_BYTES: Final = 64  # what a message takes besides its own bytes


class Connection(Protocol):
    """What Waiting needs of a connection."""

    session: Session
    heard: bool
    held_back: bool

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


_C = TypeVar("_C", bound=Connection)


class Waiting(Generic[_C]):
    """``bytes``: how much waits."""

    def __init__(self) -> None:
        self._sizes: dict[_C, int] = {}
        self.bytes = 0

    def keep(self, connection: _C, message: bytes) -> bool:
        """Keep a message until its connection need not wait; False if that is too much."""
        connection.session.wait(message)
        size = len(message) + MESSAGE_BYTES
        self.bytes += size
        size += self._sizes.get(connection, 0)
        self._sizes[connection] = size
        if size <= BYTES_MAX:
            return self.bytes <= ALL_BYTES_MAX
        if not connection.held_back:
            connection.held_back = True
            connection.pause_reading()
        return self.bytes <= ALL_BYTES_MAX // 2

    def drop(self, connection: _C) -> None:
        """The connection ends: what it has sent is not carried out any more."""
        if connection in self._sizes and connection.session.waiting:
            connection.session.waiting.clear()
        self.over(connection)

    def over(self, connection: _C) -> None:
        """Nothing is kept for the connection any more."""
        self.bytes -= self._sizes.pop(connection, 0)
        if connection.held_back:
            connection.held_back = False
            connection.heard = True  # it may have said something: nobody listened
            connection.resume_reading()
