"""Replays: what clients missed that is not in memory any more, asked of the sources.

An origin keeps also what the hub refuses: that was owed to nobody, and is left out.
A client's commands wait meanwhile, in order. Only so many may wait at once: past that a client is
told at once that it cannot have all, which it has to cope with anyway.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

import structlog

from wsgate.errands import Errands
from wsgate.session import Session

log = structlog.get_logger("wsgate.replays")

AT_ONCE_MAX: Final = 64  # connections that wait
CHANNELS_MAX: Final = 32  # asked for one of them
PORTION_BYTES: Final = 65_536  # looked at in one round of the event loop; 0.3 ms

Events = list[tuple[int, bytes]]
Replay = Callable[[str, int, str], Awaitable[Events | None]]
Accepts = Callable[[str, bytes], bool]


class Lack(NamedTuple):
    """What only the origin can tell: what came on a channel after a position."""

    channel: str
    epoch: str
    after: int


class Connection(Protocol):
    """What Replays needs of a connection."""

    session: Session


_C = TypeVar("_C", bound=Connection)


class Replays(Generic[_C]):
    """``replay(channel, after, epoch)`` asks; ``go_on(connection, found, messages)`` goes on.

    ``accepts(channel, payload)``: whether that would be published now. ``found``: by channel,
    without those that nobody could tell. ``messages``: what waited.
    """

    def __init__(
        self,
        replay: Replay,
        accepts: Accepts,
        go_on: Callable[[_C, dict[str, Events], list[bytes]], None],
    ) -> None:
        self._replay = replay
        self._accepts = accepts
        self._go_on = go_on
        self._errands: Errands[_C] = Errands("replay")
        self.outcomes: Counter[str] = Counter()

    def begin(self, connection: _C, lacks: Sequence[Lack]) -> bool:
        """Ask, and let the connection wait; False if too much is asked for already."""
        if len(self._errands) >= AT_ONCE_MAX or len(lacks) > CHANNELS_MAX:
            self.outcomes["refused"] += len(lacks)
            return False
        connection.session.begin_waiting()
        self._errands.begin(connection, self._run(connection, lacks))
        return True

    async def _run(self, connection: _C, lacks: Sequence[Lack]) -> None:
        found: dict[str, Events] = {}
        try:
            for lack in lacks:
                events = await self._ask(lack)
                self.outcomes["missing" if events is None else "found"] += 1
                if events is not None:
                    found[lack.channel] = events
        finally:
            # Before what waited is handled: that may ask for more.
            self._errands.done(connection)
        self._go_on(connection, found, connection.session.stop_waiting())

    async def _ask(self, lack: Lack) -> Events | None:
        try:
            events = await self._replay(lack.channel, lack.after, lack.epoch)
            return None if events is None else await self._acceptable(lack.channel, events)
        except Exception:
            log.exception("what was missed could not be asked for", channel=lack.channel)
            return None

    async def _acceptable(self, channel: str, events: Events) -> Events:
        accepted: Events = []
        size = 0
        for seq, payload in events:
            if self._accepts(channel, payload):
                accepted.append((seq, payload))
            size += len(payload)
            if size >= PORTION_BYTES:
                size = 0
                await asyncio.sleep(0)
        return accepted

    def left(self, connection: _C) -> None:
        """The connection is gone: nobody waits any more."""
        self._errands.left(connection)

    async def stop(self) -> None:
        """Leave no task behind."""
        await self._errands.stop()
