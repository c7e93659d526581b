"""Departures: clients sent elsewhere, each when it is old, and all of them when the gateway drains.

Decides when; what that means for the connection is the hub's to carry out, see ``Host``. A client
is first told to connect anew, and closed a moment later if it is still there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from random import Random
from typing import Final, Generic, Protocol, TypeVar

from wsgate.limits import AGE_JITTER, LEAVE_S, Limits

STEP_S: Final = 0.02  # how finely the closes of a drain are spread


class Connection(Protocol):
    """What Departures needs of a connection."""

    sent_away: bool

    def abort(self) -> None: ...


_C = TypeVar("_C", bound=Connection)
_Any = TypeVar("_Any", bound=Connection, contravariant=True)


class Host(Protocol[_Any]):
    """What Departures asks of the hub."""

    def tell_to_reconnect(self, connection: _Any, after_ms: int) -> None:
        """Reply that it had better connect anew, in so long."""

    def see_off(self, connection: _Any, reason: str | None) -> None:
        """Close it, what it is owed first. ``reason`` is for the log, if the close has not one."""

    def leave_in(self, connection: _Any, delay_s: float) -> None:
        """Call ``due`` after that long."""

    def is_open(self, connection: _Any) -> bool:
        """Whether the connection is still there, and not about to end."""


class Departures(Generic[_C]):
    """``connections``: all that there are, as they come and go."""

    def __init__(self, host: Host[_C], connections: Collection[_C], limits: Limits) -> None:
        self._host = host
        self._connections = connections
        self._age_max_s = limits.connection_age_max_s
        self._shutdown_timeout_s = limits.shutdown_timeout_s
        self._loop = asyncio.get_running_loop()
        self._random = Random()
        self._emptied: asyncio.Event | None = None

    @property
    def draining(self) -> bool:
        """Nobody stays: who comes now came too late."""
        return self._emptied is not None

    def came(self, connection: _C) -> None:
        """Its age is counted from now, if there is a limit to it."""
        if self._age_max_s is not None:
            jitter = self._random.uniform(1 - AGE_JITTER, 1 + AGE_JITTER)
            self._host.leave_in(connection, self._age_max_s * jitter)

    def due(self, connection: _C) -> None:
        """It is as old as it may be: first it is told, and then closed if it is still there."""
        if connection.sent_away:
            self._host.see_off(connection, "aged")
        else:
            self._send_away(connection, 0)
            self._host.leave_in(connection, LEAVE_S)

    def left(self) -> None:
        """A connection is gone."""
        if self._emptied is not None and not self._connections:
            self._emptied.set()

    async def drain(self, spread_s: float) -> None:
        """Send every client elsewhere, and return when all are gone.

        Each is told at once when to come back, evenly over ``spread_s``, so that the other gateways
        are not overrun; and is closed with 1012 a moment after that, what it is owed first, if it
        is still there. Who does not answer the close is cut off; who connects from now on is closed
        at once. With a ``spread_s`` of 0 nobody is told, and all are closed at once.
        """
        self._emptied = self._emptied or asyncio.Event()
        leaving = [one for one in self._connections if self._host.is_open(one)]
        self._random.shuffle(leaving)  # who came together shall not come back together
        for place, connection in enumerate(leaving if spread_s else ()):
            self._send_away(connection, round(1000 * spread_s * place / len(leaving)))
        if leaving and spread_s:
            await self._empty_within(LEAVE_S)
        await self._close_evenly(leaving, spread_s)
        if not await self._empty_within(self._shutdown_timeout_s):
            for connection in list(self._connections):
                connection.abort()
            await self._emptied.wait()

    def _send_away(self, connection: _C, after_ms: int) -> None:
        connection.sent_away = True
        self._host.tell_to_reconnect(connection, after_ms)

    async def _empty_within(self, timeout_s: float) -> bool:
        """Wait for all connections to be gone; whether they are."""
        if self._connections:
            assert self._emptied is not None
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._emptied.wait()
        return not self._connections

    async def _close_evenly(self, leaving: Sequence[_C], spread_s: float) -> None:
        began_s = self._loop.time()
        closed = 0
        while True:
            elapsed_s = self._loop.time() - began_s
            share = elapsed_s / spread_s if elapsed_s < spread_s else 1.0
            due = int(share * len(leaving))
            for connection in leaving[closed:due]:
                if self._host.is_open(connection):
                    self._host.see_off(connection, None)
            closed = due
            if closed >= len(leaving) or not self._connections:
                return
            await asyncio.sleep(STEP_S)
