"""The client: a session, and the tasks that do for it what takes time.

Every task is in one group, which lives from ``__aenter__`` to ``__aexit__``: a clock, one for each
connection with one that writes to it, and one for whoever is asked for a token.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from random import Random
from types import TracebackType
from typing import Final, Literal, TypeAlias

from wsgate.client import transport
from wsgate.client.actions import Action, Announce, AskToken, Dial, Finish, Hang, Say, Timing
from wsgate.client.credentials import Credentials, Way
from wsgate.client.errors import Closed, Refused, SubscribeRefused, refused
from wsgate.client.interests import Interest
from wsgate.client.items import Gap
from wsgate.client.mailbox import EVENTS_MAX
from wsgate.client.retry import ABNORMAL
from wsgate.client.session import Session
from wsgate.client.subscription import Subscription
from wsgate.client.wire import DECODERS
from wsgate.protocol import (
    MAX_RATE_MAX,
    MAX_RATE_MIN,
    ErrorCode,
    FeedState,
    is_channel_or_pattern,
)
from wsgate.rules import DEFAULT_RULES, Rules

log: Final = logging.getLogger("wsgate.client")

TOKEN_TIMEOUT_S: Final = 30.0

Token: TypeAlias = str | Callable[[], Awaitable[str]] | None


class _Line:
    """A connection, and what is still to be written to it."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.texts: asyncio.Queue[str] = asyncio.Queue()
        self.connection: transport.Connection | None = None


class Client:
    """A connection to a gateway that heals by itself.

    ``token``: what it shows; a coroutine function is asked for one, and asked anew before it
    expires. ``token_as`` says how it is shown; for ``ticket`` it *is* a ticket.
    ``rules``: the gateway's, which say what is state and what are events.
    ``on_gap``, ``on_feed``: called at once with what the gateway announces; they may not wait.
    ``tls``: for a ``wss://`` whose certificate the system does not trust.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Token = None,
        token_as: Literal["subprotocol", "message", "query", "ticket"] = "subprotocol",
        rules: Rules = DEFAULT_RULES,
        on_gap: Callable[[Gap], object] | None = None,
        on_feed: Callable[[FeedState], object] | None = None,
        tls: ssl.SSLContext | None = None,
        timing: Timing | None = None,
        random: Random | None = None,
    ) -> None:
        transport.check_url(url)
        self._url = url
        self._where = url.partition("?")[0]
        self._tls = tls
        self._token = token if callable(token) else None
        self._on_gap = on_gap
        self._on_feed = on_feed
        static = token if isinstance(token, str) else None
        self._credentials = Credentials(static, self._token is not None, Way(token_as))
        self._session = Session(
            self._credentials, random=random or Random(), rules=rules, timing=timing
        )
        self._subscriptions: dict[Interest, Subscription] = {}
        self._lines: dict[int, _Line] = {}
        self._changed = asyncio.Event()  # when the session wants to be woken
        self._ended = asyncio.Event()
        self._connected = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None

    # for the program

    async def __aenter__(self) -> Client:
        """Returns at once: it connects in the background, for as long as that takes."""
        if self._task is not None:
            raise RuntimeError("a client is used once")
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self._task = asyncio.create_task(self._run(), name="wsgate client")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._session.leave()
        self._act()
        if self._task is not None:
            await self._task

    @property
    def connected(self) -> bool:
        return self._session.connected

    @property
    def feed(self) -> FeedState:
        """``stale`` while the gateway has lost its source: what one has is getting old."""
        return self._session.feed

    async def wait_connected(self) -> None:
        """Until there is a connection; raises ``Closed`` if there will be none."""
        self._check_entered()
        while not self.connected:
            if self._session.end is not None:
                raise self._session.end
            self._connected.clear()
            await self._connected.wait()

    async def subscribe(
        self,
        *channels: str,
        max_rate: float | None = None,
        events_max: int = EVENTS_MAX,
        partial: bool = False,
    ) -> Subscription:
        """To channels and patterns; returns once the gateway has answered.

        ``max_rate``: of states at most so many times a second. ``events_max``: how many events are
        kept for who reads slowly, before there is a gap. ``partial``: if some are refused, the
        others will do, and ``errors`` has those; else, or if all are, raises ``SubscribeRefused``.
        """
        self._check_entered()
        if not channels:
            raise ValueError("subscribe to what?")
        if max_rate is not None and not MAX_RATE_MIN <= max_rate <= MAX_RATE_MAX:
            raise ValueError(f"max_rate is from {MAX_RATE_MIN:g} to {MAX_RATE_MAX:g}")
        wrong = {name: _bad_channel() for name in channels if not is_channel_or_pattern(name)}
        good = [name for name in channels if name not in wrong]
        if wrong and not (partial and good):
            raise SubscribeRefused(wrong)
        subscription = Subscription(good, max_rate, events_max, self._leave)
        interest = subscription.interest
        self._session.subscribe(interest, self._now())
        self._subscriptions[interest] = subscription
        self._act()
        try:
            await subscription.answered()
        except BaseException:
            subscription.close()
            raise
        interest.errors.update(wrong)
        if subscription.end is None and interest.errors and not partial:
            subscription.finish(SubscribeRefused(interest.errors))
        if subscription.end is not None:
            raise subscription.end
        return subscription

    async def pause(self) -> None:
        """Get no publications for a while: of states the latest is kept, of events some.

        Raises ``NotSupported`` if the gateway cannot. A connection that is not there is told later.
        """
        await self._pause(True)

    async def resume(self) -> None:
        """Get publications again, what was kept first."""
        await self._pause(False)

    # the tasks

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as self._group:
                clock = self._group.create_task(self._clock(), name="wsgate client clock")
                self._session.begin(self._now())
                self._act()
                await self._ended.wait()
                clock.cancel()
                if self._asking is not None:
                    self._asking.cancel()
        except BaseException as error:
            self._session.leave(Closed(f"the client failed: {error!r}"))
            self._session.actions.clear()
            if self._session.end is not None:
                self._finish(self._session.end)
            raise
        finally:
            for line in self._lines.values():
                if line.connection is not None:
                    line.connection.abort()

    async def _clock(self) -> None:
        while True:
            self._changed.clear()
            at = self._session.wake_at()
            try:
                async with asyncio.timeout_at(at):
                    await self._changed.wait()
            except TimeoutError:
                self._session.tick(self._now())
                self._act()

    async def _connect(self, dial: Dial) -> None:
        """A connection, from its upgrade to its end."""
        session, id = self._session, dial.connection
        writer: asyncio.Task[None] | None = None
        try:
            connection = await transport.open_connection(
                self._url, list(DECODERS), dial.token, dial.way, self._tls
            )
            line = self._lines[id]
            line.connection = connection
            session.opened(id, connection.subprotocol, self._now())
            self._act()
            self._connected.set()
            writer = self._group.create_task(_write(line), name="wsgate client writer")
            log.info("connected to %s", self._where)
            while True:
                message = await connection.receive()
                if session.received(id, message, self._now()):
                    self._act()
        except transport.NotUpgraded as answer:
            log.warning("%s answers with HTTP %d", self._where, answer.status)
            session.refused(id, answer.status, answer.retry_after_s, self._now())
        except transport.Unreachable as error:
            log.warning("%s cannot be reached: %s", self._where, error)
            session.failed(id, self._now())
        except transport.Ended as end:
            log.info("disconnected from %s: %d %s", self._where, end.code, end.reason)
            session.closed(id, end.code, end.reason, self._now())
        finally:
            if writer is not None:
                writer.cancel()
            gone = self._lines.pop(id)
            if gone.connection is not None:
                gone.connection.abort()
        self._act()

    async def _ask_token(self) -> None:
        assert self._token is not None
        try:
            async with asyncio.timeout(TOKEN_TIMEOUT_S):
                token = await self._token()
        except Exception as error:
            # Its text may hold what it was given.
            log.warning("no token is to be had: %s", type(error).__name__)
            self._session.token_missing(self._now())
        else:
            self._session.token_given(token, self._now(), time.time())
        finally:
            self._asking = None
        self._act()

    # what the session wants

    def _act(self) -> None:
        actions = self._session.actions
        while actions:
            some = actions.copy()
            actions.clear()
            for action in some:
                self._do(action)
        self._changed.set()

    def _do(self, action: Action) -> None:
        match action:
            case Say(id, text):
                if id in self._lines:
                    self._lines[id].texts.put_nowait(text)
            case Announce(news):
                self._announce(news)
            case Dial(id):
                line = self._lines[id] = _Line()
                line.task = self._group.create_task(self._connect(action), name="wsgate connection")
            case Hang(id, code):
                self._hang(id, code)
            case AskToken():
                self._asking = self._group.create_task(self._ask_token(), name="wsgate token")
            case Finish(error):
                self._finish(error)

    def _hang(self, id: int, code: int) -> None:
        line = self._lines.get(id)
        if line is None:
            return
        if line.connection is None:
            if line.task is not None:
                line.task.cancel()
        elif code == ABNORMAL:
            line.connection.abort()
        else:
            self._group.create_task(line.connection.close(code), name="wsgate close")

    def _announce(self, news: Gap | FeedState) -> None:
        try:
            if isinstance(news, Gap):
                if self._on_gap is not None:
                    self._on_gap(news)
            elif self._on_feed is not None:
                self._on_feed(news)
        except Exception:
            log.exception("a callback failed")

    def _finish(self, error: Closed) -> None:
        log.info("the end: %s", error)
        for subscription in list(self._subscriptions.values()):
            subscription.finish(error)
        self._connected.set()
        self._ended.set()

    def _leave(self, interest: Interest) -> None:
        """A subscription wants no more."""
        if self._subscriptions.pop(interest, None) is not None and self._session.end is None:
            self._session.unsubscribe(interest, self._now())
            self._act()

    def _check_entered(self) -> None:
        if self._task is None:
            raise RuntimeError("a client is used within its block: async with Client(...)")

    async def _pause(self, paused: bool) -> None:
        self._check_entered()
        answer: asyncio.Future[None] = self._loop.create_future()

        def done(error: Refused | None) -> None:
            if answer.done():
                return
            if error is None:
                answer.set_result(None)
            else:
                answer.set_exception(error)

        self._session.pause(paused, done, self._now())
        self._act()
        await answer


async def _write(line: _Line) -> None:
    assert line.connection is not None
    try:
        while True:
            await line.connection.send(await line.texts.get())
    except transport.Ended:
        pass  # whoever reads it tells


def _bad_channel() -> Refused:
    return refused(ErrorCode.BAD_CHANNEL, ErrorCode.BAD_CHANNEL.message)
