"""One subscription, as the program that made it sees it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from types import TracebackType
from typing import Final

from wsgate.client.errors import Left, Refused, SubscribeRefused
from wsgate.client.interests import Interest
from wsgate.client.items import Item, Update
from wsgate.client.mailbox import Mailbox

log: Final = logging.getLogger("wsgate.client")


class Subscription:
    """Iterate over it for updates, or over ``with_gaps()`` for gaps as well.

    It is read by one task at a time. Iteration ends when it is closed or the client is left, and
    raises ``Closed`` when the client came to its end otherwise. Whatever came before is read first.
    """

    def __init__(
        self,
        names: Iterable[str],
        max_rate: float | None,
        events_max: int,
        leave: Callable[[Interest], None],
    ) -> None:
        self._mailbox = Mailbox(events_max)
        self._mailbox.woken = self._wake
        self._interest = Interest(names, max_rate, self._mailbox, self._settled)
        self._leave = leave
        self._answered = asyncio.Event()
        self._waiter: asyncio.Future[None] | None = None
        self._end: Exception | None = None

    @property
    def channels(self) -> tuple[str, ...]:
        """The names and patterns that were asked for."""
        return self._interest.names

    @property
    def errors(self) -> dict[str, Refused]:
        """Those of them that are refused, and why."""
        return dict(self._interest.errors)

    @property
    def backlog(self) -> int:
        """How many items are there to be read."""
        return len(self._mailbox)

    def __aiter__(self) -> AsyncIterator[Update]:
        return self

    async def __anext__(self) -> Update:
        while True:
            item = self._mailbox.take() or await self._next()
            if type(item) is Update:
                return item
            # Nobody else will hear of it.
            log.warning("something may be missing on %s: %s", *item)

    def with_gaps(self) -> AsyncIterator[Item]:
        """Updates, and a ``Gap`` in each place where some may be missing."""
        return _WithGaps(self._next)

    def close(self) -> None:
        """Get no more. What is here already can still be read."""
        self.finish(Left())

    async def __aenter__(self) -> Subscription:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # for the client

    @property
    def interest(self) -> Interest:
        return self._interest

    async def answered(self) -> None:
        """Return once the gateway has answered, or nothing will."""
        await self._answered.wait()

    def finish(self, end: Exception) -> None:
        if self._end is None:
            self._end = end
            self._leave(self._interest)
        self._answered.set()
        self._wake()

    # within

    async def _next(self) -> Item:
        while (item := self._mailbox.take()) is None:
            if isinstance(self._end, Left):
                raise StopAsyncIteration
            if self._end is not None:
                raise self._end
            if self._waiter is not None:
                raise RuntimeError("two tasks read one subscription")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return item

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _settled(self) -> None:
        """All names are answered; or one that had been granted is refused now."""
        errors = self._interest.errors
        if all(name in errors for name in self._interest.names):
            self.finish(SubscribeRefused(errors))
        self._answered.set()

    @property
    def end(self) -> Exception | None:
        """Why there will be no more; ``Closed`` or ``SubscribeRefused``."""
        return self._end


class _WithGaps(AsyncIterator[Item]):
    """No generator: a read that is cancelled would be the end of one."""

    __slots__ = ("_next",)

    def __init__(self, next: Callable[[], Awaitable[Item]]) -> None:
        self._next = next

    async def __anext__(self) -> Item:
        return await self._next()
