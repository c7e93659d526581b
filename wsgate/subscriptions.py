"""Subscribe commands, from when they come to their reply: some wait for what only others can tell.

What a command comes to is ``subscribing``'s to say; here is when it goes on. It can wait for a
source that has not told yet where its channels stand (``filling``), and for what is in memory no
more (``replays``). The client's other commands wait behind it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from functools import partial
from typing import Generic, Protocol, TypeVar

import structlog

from wsgate import protocol
from wsgate.core.fanout import Fanout
from wsgate.epochs import Epochs
from wsgate.filling import Filling
from wsgate.limits import Limits
from wsgate.protocol import ProtocolError, Subscribe
from wsgate.replays import Lack, Replay, Replays
from wsgate.rules import Rules
from wsgate.session import Session
from wsgate.subscribing import Found, subscribe
from wsgate.turns import Rest, finish

log = structlog.get_logger("wsgate.subscriptions")

Portions = Generator[list[Lack] | None, Found | None, bytes]


class Connection(Protocol):
    """What Subscriptions needs of a connection."""

    handle: int
    session: Session


_C = TypeVar("_C", bound=Connection)
_Any = TypeVar("_Any", bound=Connection, contravariant=True)


class Host(Protocol[_Any]):
    """What Subscriptions asks of the hub."""

    @property
    def filling(self) -> bool:
        """Whether a source has yet to tell where its channels stand."""

    def accepts(self, subject: str, payload: bytes) -> bool:
        """Whether it may be published there; counted if not."""

    def respond(self, connection: _Any, message: bytes) -> None:
        """Reply."""

    def go_on(self, connection: _Any, messages: list[bytes]) -> None:
        """Handle what waited."""

    def is_open(self, connection: _Any) -> bool:
        """Whether the connection is still there, and not about to end."""

    def broke(self, connection: _Any) -> None:
        """What it asked for could not be done, and that is our fault."""


class Subscriptions(Generic[_C]):
    """``recoveries`` counts channels by what came of them."""

    def __init__(
        self,
        host: Host[_C],
        core: Fanout,
        rules: Rules,
        limits: Limits,
        epochs: Epochs,
        replay: Replay,
    ) -> None:
        self._host = host
        self._core = core
        self._rules = rules
        self._limits = limits
        self._epochs = epochs
        self._filling: Filling[_C] = Filling(self._filled)
        self._portions: dict[_C, Portions] = {}  # of those who wait for a replay
        self.replays: Replays[_C] = Replays(replay, host.accepts, self._replayed)
        self.recoveries: Counter[str] = Counter()

    def command(self, connection: _C, command: Subscribe) -> Rest | None:
        """Returns what is left of it to do, if that is much."""
        if command.recover and self._host.filling:
            self._filling.wait(connection, command)
            return None
        return self._begin(connection, command)

    def filled(self) -> None:
        """No source has yet to tell where its channels stand."""
        self._filling.over()

    def left(self, connection: _C) -> None:
        """The connection is gone: nothing is asked or kept for it any more."""
        self._filling.left(connection)
        self.replays.left(connection)
        self._portions.pop(connection, None)

    async def stop(self) -> None:
        self._filling.stop()
        await self.replays.stop()

    def _begin(self, connection: _C, command: Subscribe) -> Rest | None:
        portions = subscribe(
            self._core,
            connection.handle,
            command,
            self._rules,
            connection.session.permissions,
            self._limits.subscriptions_max,
            self._epochs,
            self.recoveries,
        )
        return self._go_on(connection, portions, None)

    def _go_on(self, connection: _C, portions: Portions, found: Found | None) -> Rest | None:
        if not self._host.is_open(connection):
            return None
        try:
            lacks = portions.send(found)
        except StopIteration as end:
            self._host.respond(connection, end.value)
            return None
        except ProtocolError as error:
            self._host.respond(connection, protocol.encode_error(error))
            return None
        if lacks and self.replays.begin(connection, lacks):
            self._portions[connection] = portions
            return None
        return partial(self._go_on, connection, portions, None)

    def _filled(self, connection: _C, command: Subscribe, messages: list[bytes]) -> None:
        """What there is to recover from is there, or will not come soon."""
        self._at_last(connection, partial(self._begin, connection, command), messages)

    def _replayed(self, connection: _C, found: Found, messages: list[bytes]) -> None:
        """What the origin still has of what the connection missed is there."""
        portions = self._portions.pop(connection)
        self._at_last(connection, partial(self._go_on, connection, portions, found), messages)

    def _at_last(self, connection: _C, step: Rest, messages: list[bytes]) -> None:
        if not self._host.is_open(connection):
            return
        try:
            finish(step)
            self._host.go_on(connection, messages)
        except Exception:
            log.exception("a subscription could not be recovered")
            self._host.broke(connection)
