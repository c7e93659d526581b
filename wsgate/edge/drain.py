"""The end of a connection's inbound side: what still comes is read and forgotten.

Not to read would be cheaper, but closing a socket that has unread bytes resets the connection, and
a reset takes our CLOSE away from who has not read it yet: RFC 6455 7.1.1 has servers close their
half and read on. picows must not be given it: after an error its parser stays where it is, and its
buffer grows with all that comes.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

READ_BYTES = 64 * 1024
_forgotten = bytearray(READ_BYTES)  # one for all: nobody looks at it


class Replaced(Protocol):
    """A connection's protocol."""

    def drained(self) -> None:
        """Something was read, and forgotten."""

    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...


class Drain(asyncio.BufferedProtocol):
    """Takes the place of a connection's ``protocol``, which hears of all but of what is read."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: Replaced) -> None:
        self._protocol = protocol

    def get_buffer(self, sizehint: int) -> bytearray:
        return _forgotten

    def buffer_updated(self, nbytes: int) -> None:
        self._protocol.drained()

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)
