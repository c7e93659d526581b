"""A NATS source against a server that breaks every rule."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
import structlog

from tests.support.fake_nats import FakeNats, Peer, Script
from tests.support.feed import RecordingFeed, run
from tests.support.log import Log
from wsgate.sources import Feed, Source
from wsgate.sources.nats import NatsSource
from wsgate.sources.nats_limits import NatsLimits

# No heartbeat comes to the rescue where it is not what is tested.
LIMITS = NatsLimits(
    connect_timeout_s=0.3,
    heartbeat_interval_s=1000.0,
    close_timeout_s=0.3,
    backoff_base_s=0.001,
    backoff_cap_s=0.01,
)
SUBJECTS = ("a.*", "b.>")
LIVE, STALE, LIVE_AGAIN = ("live", "nats"), ("stale", "nats"), ("live", "nats", *SUBJECTS)


def make_source(feed: Feed, url: str, log: Log | None = None, **options: Any) -> NatsSource:
    options.setdefault("limits", LIMITS)
    options.setdefault("streams", ())
    return NatsSource(feed, [url], SUBJECTS, log=(log or Log()).logger, **options)


async def good(client: Peer) -> None:
    await client.greet()
    await client.answer()


async def against(
    first: Script, events: Sequence[tuple[Any, ...]], limits: NatsLimits = LIMITS
) -> Log:
    """Let the first connection go as told and the others well; return what was logged."""
    feed, log = RecordingFeed(), Log()
    async with FakeNats(first, good) as server:
        source = make_source(feed, server.url, log, limits=limits)
        await source.start()
        await feed.until_events(LIVE)
        server.live.set()
        await feed.until_events(*events)
        await source.stop()
        assert server.connections == 2
    return log


async def _send_garbage(client: Peer) -> None:
    await client.send(b"SSH-2.0-OpenSSH_9.2\r\n")
    await client.ignore()


async def _send_broken_info(client: Peer) -> None:
    await client.send(b"INFO {broken\r\n")
    await client.ignore()


async def _say_nothing(client: Peer) -> None:
    await client.ignore()


async def _hang_up_at_once(client: Peer) -> None:
    pass


async def _hang_up_after_info(client: Peer) -> None:
    await client.greet()


async def _refuse(client: Peer) -> None:
    await client.greet()
    await client.send(b"-ERR 'Authorization Violation'\r\n")


async def _hang_after_info(client: Peer) -> None:
    await client.greet()
    await client.ignore()


async def _hang_after_connect(client: Peer) -> None:
    await client.greet()
    await client.answer(pings=1)
    await client.ignore()


async def _hang_before_the_subscriptions(client: Peer) -> None:
    await client.greet()
    await client.answer(pings=2)
    await client.ignore()


async def _answer_with_something_else(client: Peer) -> None:
    await client.greet()
    await client.send(b"+OK\r\n")
    await client.answer()


@pytest.mark.parametrize(
    "script",
    [
        _send_garbage,
        _send_broken_info,
        _say_nothing,
        _hang_up_at_once,
        _hang_up_after_info,
        _refuse,
        _hang_after_info,
        _hang_after_connect,
        _hang_before_the_subscriptions,
        _answer_with_something_else,
    ],
)
def test_a_connection_that_never_gets_live_is_tried_again(script: Script) -> None:
    log = run(against(script, [LIVE]))
    assert [entry["event"] for entry in log.entries][1:] == ["nats_connected"]
    assert log.entries[0]["hint"]


def after_live(data: bytes, *, hang_up: bool = False) -> Script:
    async def script(client: Peer) -> None:
        await client.welcome()
        await client.send(data)
        if not hang_up:
            await client.answer()

    return script


@pytest.mark.parametrize("hang_up", [False, True])
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"-ERR 'Maximum Payload Violation'\r\n", "maximum payload violation"),
        (b"-ERR 'Something Nobody Knows'\r\n", "something nobody knows"),
        (b"-ERR 'Stale Connection'\r\n", "stale connection"),
        (b"-ERR 'User Authentication Expired'\r\n", "user authentication expired"),
        (b"-ERR 'Authorization Violation'\r\n", "authorization failed"),
        (b"-ERR \r\n", "stopped reading"),
        (b"BLAH\r\n", "protocol error"),
        (b"MSG a.x nonsense 1\r\n", "protocol error"),
        (b"INFO {broken\r\n", "stopped reading"),
    ],
)
def test_whatever_ends_a_connection_is_told_at_once_and_by_its_name(
    data: bytes, reason: str, hang_up: bool
) -> None:
    log = run(against(after_live(data, hang_up=hang_up), [LIVE, STALE, LIVE_AGAIN]))
    (error,) = log.errors("nats_lost")
    assert reason in error


def test_a_hang_up_is_not_blamed_on_what_was_denied_long_before() -> None:
    denial = b"-ERR 'Permissions Violation for Subscription to \"b.>\"'\r\n"
    log = run(against(after_live(denial, hang_up=True), [LIVE, STALE, LIVE_AGAIN]))
    (error,) = log.errors("nats_lost")
    assert "unexpected EOF" in error


def test_an_objection_to_something_else_is_logged_and_changes_nothing() -> None:
    objection = b"-ERR 'Permissions Violation for Publish to \"c\"'\r\n"
    message = b"MSG b.x 2 2\r\n{}\r\n"

    async def test() -> None:
        feed, log = RecordingFeed(), Log()
        async with FakeNats(after_live(objection + message)) as server:
            source = make_source(feed, server.url, log)
            await source.start()
            await feed.until_events(LIVE)
            server.live.set()
            await feed.until(lambda: feed.messages)
            assert feed.messages == [("b.x", b"{}")] and feed.events == [LIVE]
            assert source.snapshot()["denied"] == 0 and source.snapshot()["errors"] == 1
            assert "permissions" in log.errors("nats_server_complaint")[0]
            await source.stop()

    run(test())


def test_it_is_live_only_when_the_server_has_its_subscriptions() -> None:
    clients: list[Peer] = []

    async def script(client: Peer) -> None:
        clients.append(client)
        await good(client)

    async def test() -> None:
        feed = RecordingFeed()
        async with FakeNats(script) as server:
            source = make_source(feed, server.url)
            await source.start()
            await feed.until_events(LIVE)
            assert sorted(clients[0].subscribed.values()) == sorted(SUBJECTS)
            await source.stop()

    run(test())


# Heartbeats


BEATING = NatsLimits(
    heartbeat_interval_s=0.05, heartbeat_timeout_s=0.3, backoff_base_s=0.001, backoff_cap_s=0.01
)


def test_a_server_that_falls_silent_is_given_up() -> None:
    log = run(against(_fall_silent, [LIVE, STALE, LIVE_AGAIN], BEATING))
    assert log.errors("nats_lost") == ["no answer within 0.3 s"]


async def _fall_silent(client: Peer) -> None:
    await client.welcome()
    await client.answer(pings=3)
    await client.ignore()


def test_a_server_too_busy_to_answer_is_not_given_up_as_long_as_it_sends() -> None:
    """Three times its patience: each message comes when its loop turns, however slow that is."""
    messages = 60

    async def busy(client: Peer) -> None:
        await client.welcome()
        for _ in range(messages):
            await client.send(b"MSG a.x 1 2\r\n{}\r\n")
            await asyncio.sleep(BEATING.heartbeat_timeout_s / 20)
        await client.ignore()

    async def test() -> None:
        feed = RecordingFeed()
        async with FakeNats(busy, good) as server:
            source = make_source(feed, server.url, limits=BEATING)
            await source.start()
            await feed.until_events(LIVE)
            server.live.set()
            await feed.until(lambda: feed.events[1:], "the end of its patience")
            assert len(feed.messages) == messages
            await source.stop()

    run(test())


def test_a_stall_of_our_own_is_not_held_against_the_server() -> None:
    """The loop stands still past every deadline while the answer waits to be read."""
    stalls = 3

    async def script(client: Peer) -> None:
        await client.welcome()
        for _ in range(stalls):
            await client.answer(pings=1)
            time.sleep(1.5 * BEATING.heartbeat_timeout_s)
        await client.answer(pings=1)
        finished.set()
        await client.answer()

    async def test() -> None:
        feed = RecordingFeed()
        async with FakeNats(script) as server:
            source = make_source(feed, server.url, limits=BEATING)
            await source.start()
            await feed.until_events(LIVE)
            server.live.set()
            await finished.wait()
            assert feed.events == [LIVE] and server.connections == 1
            await source.stop()

    finished = asyncio.Event()
    run(test())


# The source as a whole


def test_a_log_that_nobody_reads_any_more_does_not_stop_the_feed() -> None:
    def broken_pipe(*args: object) -> Any:
        raise BrokenPipeError

    async def test() -> None:
        feed = RecordingFeed()
        log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[broken_pipe])
        async with FakeNats(after_live(b"", hang_up=True), _refuse, good) as server:
            source: Source = NatsSource(feed, [server.url], SUBJECTS, limits=LIMITS, log=log)
            await source.start()
            await feed.until_events(LIVE)
            server.live.set()
            await feed.until_events(LIVE, STALE, LIVE_AGAIN)
            await source.stop()

    run(test())


def test_a_connection_that_does_not_last_counts_as_a_failure() -> None:
    """A server that hangs up on everybody is not hammered, though each connection was live."""

    class Recorded(Random):
        ceilings: list[float]

        def uniform(self, a: float, b: float) -> float:
            self.ceilings.append(b)
            return 0.0

    async def ceilings(steady_s: float) -> list[float]:
        async def hang_up_once_live(client: Peer) -> None:
            await client.greet()
            await client.answer(pings=3)
            await feed.until(lambda: source.connected)

        random = Recorded()
        random.ceilings = []
        feed = RecordingFeed()
        async with FakeNats(hang_up_once_live) as server:
            limits = NatsLimits(backoff_base_s=0.25, backoff_cap_s=4.0, steady_s=steady_s)
            source = make_source(feed, server.url, limits=limits, random=random)
            await source.start()
            await feed.until(lambda: feed.events.count(STALE) == 8, "eight losses")
            await source.stop()
        return random.ceilings[:7]

    assert run(ceilings(steady_s=1000.0)) == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0, 4.0]
    assert run(ceilings(steady_s=0.0)) == [0.25] * 7
