"""Turns: logins and commands may take only so long of one round of the event loop; the rest waits.

A command may cost some milliseconds, a thousand new channels or a pattern over many, a signature a
tenth of one, and those of hundreds of clients may be there at once. In between, publications want
to be read and sent.

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
    """``let_in`` looks at a newcomer's credential, ``carry_out`` does what a message asks for.

    Both are called in order for each connection. ``failed`` is told if what had to wait raised:
    else nobody would be. ``put_off`` counts the messages that had to wait. Cost: a look at a clock
    for each message, a callback for each round of the loop that has some.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        let_in: Callable[[_C], None],
        carry_out: Callable[[_C, bytes], None],
        failed: Callable[[_C], None],
    ) -> None:
        self._loop = loop
        self._let_in = let_in
        self._carry_out = carry_out
        self._failed = failed
        # Whose turn is next comes first. None stands for being let in.
        self._waiting: dict[_C, deque[bytes | None]] = {}
        self._waiting_bytes = 0
        self._until_s = 0.0  # when the last of this round may begin
        self._next_round: asyncio.Handle | None = None  # None: nothing came in this one yet
        self.put_off = 0

    def __len__(self) -> int:
        """How many connections wait."""
        return len(self._waiting)

    def enter(self, connection: _C) -> None:
        """Let the connection in, in the next round, with all who came in this one.

        Together, since checking a signature finds the caches warm from the one before.
        """
        if self._next_round is None:
            self._begin_round()
        self._waiting[connection] = deque((None,))

    def take(self, connection: _C, message: bytes) -> None:
        """Carry the message out, now or soon."""
        if self._next_round is None:
            self._begin_round()
        if now_s() < self._until_s and connection not in self._waiting:
            self._carry_out(connection, message)
        elif self._waiting_bytes + len(message) <= WAITING_BYTES_MAX:
            self._put_off(connection, message)
        else:
            self.settle(connection)
            self._carry_out(connection, message)

    def settle(self, connection: _C) -> None:
        """Do what the connection waits for: what comes after it is about to happen."""
        for message in self._forget(connection):
            self._do(connection, message)

    def leave(self, connection: _C) -> None:
        """The connection is gone."""
        self._forget(connection)

    def stop(self) -> None:
        """Do nothing any more."""
        if self._next_round is not None:
            self._next_round.cancel()

    def _begin_round(self) -> None:
        self._until_s = now_s() + ROUND_S
        self._next_round = self._loop.call_soon(self._go_on)

    def _put_off(self, connection: _C, message: bytes) -> None:
        self.put_off += 1
        self._waiting_bytes += len(message)
        messages = self._waiting.setdefault(connection, deque())
        if not messages or messages[-1] is None:
            connection.pause_reading()
        messages.append(message)

    def _forget(self, connection: _C) -> deque[bytes | None]:
        messages = self._waiting.pop(connection, None)
        if messages is None:
            return deque()
        self._waiting_bytes -= sum(len(one) for one in messages if one is not None)
        if messages[-1] is not None:
            connection.resume_reading()
        return messages

    def _do(self, connection: _C, message: bytes | None) -> None:
        if message is None:
            self._let_in(connection)
        else:
            self._carry_out(connection, message)

    def _go_on(self) -> None:
        """Another round: one thing of each in turn, at least one in all."""
        self._next_round = None
        if self._waiting:
            self._begin_round()
        while self._waiting:
            connection = next(iter(self._waiting))
            messages = self._waiting.pop(connection)
            message = messages.popleft()
            if messages:
                self._waiting[connection] = messages
            if message is not None:
                self._waiting_bytes -= len(message)
                if not messages:
                    connection.resume_reading()
            try:
                self._do(connection, message)
            except Exception:
                log.exception("a login or a command could not be carried out")
                self._failed(connection)
            if now_s() >= self._until_s:
                break
