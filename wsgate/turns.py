"""Turns: commands may take only so long of one round of the event loop; the rest waits.

A command may cost some milliseconds, a thousand new channels or a pattern over many, and those of a
hundred clients may be there at once. In between, publications want to be read and sent.

Who has to wait is not read from, so that no more comes than lies in his buffer. Whoever waits gets
one command after the other in turn with all that do: a client that sends many delays itself.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

import structlog

log = structlog.get_logger("wsgate.turns")

ROUND_S: Final = 0.002
# Past this commands are carried out when they come: what suffers then is latency, not memory.
WAITING_BYTES_MAX: Final = 16 * 1024 * 1024

now_s = time.perf_counter


class Connection(Protocol):
    """What Turns needs of a connection."""

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


_C = TypeVar("_C", bound=Connection)


class Turns(Generic[_C]):
    """``handle`` carries a message out; it is called in order for each connection.

    ``failed`` is told if that raised of a message that had to wait: else nobody would be.
    ``put_off`` counts the messages that had to wait. Cost: a look at a clock for each message, a
    callback for each round of the loop that has some.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        handle: Callable[[_C, bytes], None],
        failed: Callable[[_C], None],
    ) -> None:
        self._loop = loop
        self._handle = handle
        self._failed = failed
        self._waiting: dict[_C, deque[bytes]] = {}  # whose turn is next comes first
        self._waiting_bytes = 0
        self._until_s = 0.0  # when the last command of this round may begin
        self._next_round: asyncio.Handle | None = None  # None: no command came in this one yet
        self.put_off = 0

    def __len__(self) -> int:
        """How many connections wait."""
        return len(self._waiting)

    def take(self, connection: _C, message: bytes) -> None:
        """Handle the message, now or soon."""
        if self._next_round is None:
            self._begin_round()
        if not self._waiting and now_s() < self._until_s:
            self._handle(connection, message)
        elif self._waiting_bytes + len(message) <= WAITING_BYTES_MAX:
            self._put_off(connection, message)
        else:
            self.settle(connection)
            self._handle(connection, message)

    def settle(self, connection: _C) -> None:
        """Handle what the connection waits for: what comes after it is about to happen."""
        for message in self._forget(connection):
            self._handle(connection, message)

    def leave(self, connection: _C) -> None:
        """The connection is gone."""
        self._forget(connection)

    def stop(self) -> None:
        """Handle nothing any more."""
        if self._next_round is not None:
            self._next_round.cancel()

    def _begin_round(self) -> None:
        self._until_s = now_s() + ROUND_S
        self._next_round = self._loop.call_soon(self._go_on)

    def _put_off(self, connection: _C, message: bytes) -> None:
        self.put_off += 1
        self._waiting_bytes += len(message)
        if connection in self._waiting:
            self._waiting[connection].append(message)
            return
        self._waiting[connection] = deque((message,))
        connection.pause_reading()

    def _forget(self, connection: _C) -> deque[bytes]:
        messages = self._waiting.pop(connection, None)
        if messages is None:
            return deque()
        self._waiting_bytes -= sum(map(len, messages))
        connection.resume_reading()
        return messages

    def _go_on(self) -> None:
        """Another round: one message of each in turn, at least one in all."""
        self._next_round = None
        if self._waiting:
            self._begin_round()
        while self._waiting:
            connection = next(iter(self._waiting))
            messages = self._waiting.pop(connection)
            message = messages.popleft()
            self._waiting_bytes -= len(message)
            if messages:
                self._waiting[connection] = messages
            else:
                connection.resume_reading()
            try:
                self._handle(connection, message)
            except Exception:
                log.exception("a command could not be handled")
                self._failed(connection)
            if now_s() >= self._until_s:
                break
