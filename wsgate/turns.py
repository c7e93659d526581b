"""Turns: what clients cause may take only so long of one round of the event loop; the rest waits.

A command may cost some milliseconds, a signature or a handshake a tenth of one, and those of
hundreds of clients may be there at once. In between, publications want to be read and sent.

Who has to wait is not read from, so that no more comes than lies in his buffer; and what lies there
is not looked at before its turn. Whoever waits gets one command after the other in turn with all
that do: a client that sends many delays itself.

To read costs as well, even if what was read waits: that of five hundred clients some milliseconds.
So while anybody waits, whoever was read rests: he is listened to again in his turn, a few in each
round.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Final, Generic, Protocol, TypeVar, cast

import structlog

log = structlog.get_logger("wsgate.turns")

ROUND_S: Final = 0.001
LISTENED_TO: Final = 8
# Past this commands are carried out when they come: what suffers then is latency, not memory.
WAITING_BYTES_MAX: Final = 16 * 1024 * 1024

now_s = time.perf_counter


class Connection(Protocol):
    """What Turns needs of whoever has to wait, a connection or what becomes one."""

    @property
    def established(self) -> bool:
        """Whether the same object will speak for this socket to its end; only then it rests."""

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


_C = TypeVar("_C", bound=Connection)
# What is left of a command that is too much for one go; does some more of it, and returns the rest.
Rest = Callable[[], Any]
_Waiting = bytes | Rest | None


class Turns(Generic[_C]):
    """``let_in`` looks at a newcomer's credential, ``carry_out`` does what a message asks for.

    Both are called in order for each connection. ``carry_out`` returns what it leaves to do, or
    None. ``failed`` is told if what had to wait raised: else nobody would be. ``put_off`` counts
    the messages, and reads, that had to wait. Cost: a look at a clock for each of them, a callback
    for each round of the loop that has some.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        let_in: Callable[[_C], None],
        carry_out: Callable[[_C, bytes], Rest | None],
        failed: Callable[[_C], None],
    ) -> None:
        self._loop = loop
        self._let_in = let_in
        self._carry_out = carry_out
        self._failed = failed
        # Whose turn is next comes first. None stands for being let in.
        self._waiting: dict[Connection, deque[_Waiting]] = {}
        self._waiting_bytes = 0
        self._resting: dict[Connection, None] = {}
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
        if self.has_time() and connection not in self._waiting:
            self._do(connection, message)
        elif self._waiting_bytes + len(message) <= WAITING_BYTES_MAX:
            self._put_off(connection, message)
        else:
            self.settle(connection)
            finish(self._carry_out(connection, message))

    def take_first(self, connection: _C, messages: Sequence[bytes]) -> None:
        """Carry these out before what waits of this connection: they had to wait for more."""
        waiting = self._waiting.get(connection)
        if waiting is None:
            for message in messages:
                self.take(connection, message)
        else:
            waiting.extendleft(reversed(messages))
            self._waiting_bytes += sum(map(_size, messages))

    def has_time(self) -> bool:
        """Whether more may be begun in this round of the loop."""
        if self._next_round is None:
            self._begin_round()
        return now_s() < self._until_s

    def wait(self, who: Connection, look: Callable[[], None]) -> None:
        """Let ``look`` at what was read of ``who`` when it is his turn; it does not raise."""
        self._put_off(who, look)

    @property
    def crowded(self) -> bool:
        """Whether anybody waits or rests."""
        return bool(self._waiting or self._resting)

    def rest(self, who: Connection) -> None:
        """He was read while it is crowded: listen to him again in his turn."""
        if who.established and who not in self._resting and who not in self._waiting:
            who.pause_reading()
            self._resting[who] = None
            if self._next_round is None:
                self._begin_round()

    def settle(self, connection: _C) -> None:
        """Do what the connection waits for: what comes after it is about to happen."""
        for what in self._forget(connection):
            finish(self._begin(connection, what))

    def leave(self, who: Connection) -> None:
        """He is gone."""
        self._resting.pop(who, None)
        self._forget(who)

    def stop(self) -> None:
        """Do nothing any more."""
        if self._next_round is not None:
            self._next_round.cancel()

    def _begin_round(self) -> None:
        self._until_s = now_s() + ROUND_S
        self._next_round = self._loop.call_soon(self._go_on)

    def _put_off(self, who: Connection, what: bytes | Rest) -> None:
        self.put_off += 1
        self._waiting_bytes += _size(what)
        waiting = self._waiting.setdefault(who, deque())
        if who in self._resting:
            del self._resting[who]
        elif not waiting or waiting[-1] is None:
            who.pause_reading()
        waiting.append(what)

    def _forget(self, who: Connection) -> deque[_Waiting]:
        waiting = self._waiting.pop(who, None)
        if waiting is None:
            return deque()
        self._waiting_bytes -= sum(map(_size, waiting))
        if waiting[-1] is not None:
            who.resume_reading()
        return waiting

    def _do(self, who: Connection, what: _Waiting) -> None:
        """As much of it as there is time for, at least something; the rest waits, first of his."""
        rest = self._begin(who, what)
        while rest is not None and now_s() < self._until_s:
            rest = rest()
        if rest is not None:
            if who not in self._waiting:
                self._put_off(who, rest)
            else:
                self._waiting[who].appendleft(rest)

    def _begin(self, who: Connection, what: _Waiting) -> Rest | None:
        if isinstance(what, bytes):
            return self._carry_out(cast(_C, who), what)
        if what is None:
            self._let_in(cast(_C, who))
            return None
        return cast(Rest | None, what())

    def _listen(self) -> None:
        """To some of those who rest."""
        for who in list(islice(self._resting, LISTENED_TO)):
            del self._resting[who]
            who.resume_reading()

    def _go_on(self) -> None:
        """Another round: one thing of each in turn, at least one in all."""
        self._next_round = None
        if self.crowded:
            self._begin_round()
        self._listen()
        while self._waiting:
            who = next(iter(self._waiting))
            waiting = self._waiting.pop(who)
            what = waiting.popleft()
            self._waiting_bytes -= _size(what)
            if waiting:
                self._waiting[who] = waiting
            elif what is not None:
                if who.established:
                    self._resting[who] = None
                else:
                    who.resume_reading()
            try:
                self._do(who, what)
            except Exception:
                log.exception("a login or a command could not be carried out")
                self._failed(cast(_C, who))
            if now_s() >= self._until_s:
                break


def finish(rest: Rest | None) -> None:
    """Do all that is left."""
    while rest is not None:
        rest = rest()


def _size(what: _Waiting) -> int:
    return len(what) if isinstance(what, bytes) else 0
