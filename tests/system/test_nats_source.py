"""The NATS source on a real server: all messages arrive, whatever they are, and a stop ends all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from tests.support.feed import RecordingFeed, run
from tests.support.log import Log
from tests.support.nats import NatsServer, Publisher, nats_server
from tests.support.nats_source import (
    IMPATIENT,
    LIVE,
    LIVE_AGAIN,
    STALE,
    attempts,
    new_server,
    running,
)
from tests.support.process import until as until_soon
from wsgate.sources.nats import NatsSource

__all__ = ["nats_server", "new_server"]


# Delivery


JETSTREAM_TOTALS = ("streams", "restored", "repeated", "replays", "replays_failed")


def test_every_message_arrives_in_order_and_untouched(nats_server: NatsServer) -> None:
    async def test() -> None:
        feed = RecordingFeed()
        async with running(feed, nats_server) as source:
            await feed.until_events(LIVE)
            assert source.connected
            sent = []
            with Publisher(nats_server) as publisher:
                for number in range(20_000):
                    subject = f"token.t{number % 7}.update" if number % 3 else "global.trending"
                    sent.append((subject, b'{"n": %d}' % number))
                    publisher.publish(*sent[-1])
                publisher.publish("token.x.y.update", b"no subscription matches this")
                sent.append(("global.bytes", bytes(range(256)) + b"\r\n"))
                publisher.publish(*sent[-1])
                publisher.flush()
            await feed.until(lambda: len(feed.messages) >= len(sent))
            # Two subscriptions: each keeps its order.
            for start in ("token", "global"):
                of_one = [message for message in sent if message[0].startswith(start)]
                assert [one for one in feed.messages if one[0].startswith(start)] == of_one
            assert len(feed.messages) == len(sent)
            assert source.snapshot() == {
                "connected": 1,
                "received": len(sent),
                "reconnects": 0,
                "errors": 0,
                "pending_bytes": 0,
                "denied": 0,
                **dict.fromkeys(JETSTREAM_TOTALS, 0),
            }

    run(test())


def test_a_message_as_large_as_the_server_allows(
    new_server: Callable[[str], NatsServer],
) -> None:
    async def test() -> None:
        server = new_server("max_payload: 8388608").start()
        feed = RecordingFeed()
        async with running(feed, server):
            await feed.until_events(LIVE)
            with Publisher(server) as publisher:
                publisher.publish("global.large", b"x" * 8388608)
                publisher.flush()
            await feed.until(lambda: feed.messages)
            assert feed.messages == [("global.large", b"x" * 8388608)]

    run(test())


def test_live_means_that_whatever_is_published_next_arrives(nats_server: NatsServer) -> None:
    """The publisher is called from within feed_live itself: no later moment can hide a race."""

    class Eager(RecordingFeed):
        def feed_live(self, source: str, missed: Sequence[str]) -> None:
            with Publisher(nats_server) as publisher:
                for subject in subjects:
                    publisher.publish(subject)
                publisher.flush()
            super().feed_live(source, missed)

    subjects = [f"eager.{number}" for number in range(200)]

    async def test() -> None:
        feed = Eager()
        async with running(feed, nats_server, subjects=subjects):
            await feed.until(lambda: len(feed.messages) == len(subjects), "all messages")

    run(test())


# What publishers can send


def test_what_nats_py_cannot_decode_does_not_end_the_connection(nats_server: NatsServer) -> None:
    async def test() -> None:
        feed = RecordingFeed()
        async with running(feed, nats_server) as source:
            await feed.until_events(LIVE)
            with Publisher(nats_server) as publisher:
                publisher.publish(b"global.tok\xff.update", b"bad subject")
                publisher.publish(b"global.a bad\xffreply", b"bad reply")
                publisher.publish_with_header("global.a", b"x", b"short header")
                publisher.publish_with_header(
                    "global.a", b"NATS/1.0 100 \xff\xff\r\n\r\n", b"bad status"
                )
                publisher.publish_with_header("global.a", b"NATS/1.0\r\n\xff: \xff", b"bad header")
                publisher.publish("global.a", b"last")
                publisher.flush()
            await feed.until_received(b"last")
            assert feed.payloads == [
                b"bad subject",
                b"bad reply",
                b"short header",
                b"bad status",
                b"bad header",
                b"last",
            ]
            assert feed.messages[0][0] == "global.tok\ufffd.update"
            assert feed.events == [LIVE]
            assert source.snapshot()["errors"] == 0

    run(test())


def test_a_flood_that_comes_while_the_feed_is_busy_is_delivered_whole(
    nats_server: NatsServer,
) -> None:
    """The feed holds up the loop until everything has come: it waits unread, and none is lost."""
    flood, first, payload = 1_000, b"first", b"%500d"

    class Holding(RecordingFeed):
        def publish(self, subject: str, payload_: bytes) -> bool:
            if payload_ == first:
                with Publisher(nats_server) as publisher:
                    for number in range(flood):
                        publisher.publish("token.a.update", payload % number)
                    publisher.flush()
                until_soon(lambda: source.snapshot()["pending_bytes"], "what waits unread")
            return super().publish(subject, payload_)

    async def test() -> None:
        nonlocal source
        feed, log = Holding(), Log()
        async with running(feed, nats_server, log=log.logger) as source:
            await feed.until_events(LIVE)
            with Publisher(nats_server) as publisher:
                publisher.publish("global.a", first)
                publisher.flush()
                await feed.until_received(payload % (flood - 1))
            token = [one for subject, one in feed.messages if subject[0] == "t"]
            assert token == [payload % number for number in range(flood)]
            assert feed.events == [LIVE], "no gap, no outage"
            assert source.snapshot()["pending_bytes"] == 0
            await feed.until(lambda: feed.caught_up_at[-1] == flood + 1, "that this was all")
            assert len(feed.caught_up_at) < flood / 10, "not told after each message"
            assert source.snapshot()["received"] == flood + 1

    source: NatsSource
    run(test())


# A feed with bugs


def test_a_feed_that_raises_costs_nothing_but_what_it_refused(nats_server: NatsServer) -> None:
    class Broken(RecordingFeed):
        def publish(self, subject: str, payload: bytes) -> bool:
            super().publish(subject, payload)
            raise RuntimeError("publish")

        def feed_live(self, source: str, missed: Sequence[str]) -> None:
            super().feed_live(source, missed)
            raise RuntimeError("live")

        def feed_stale(self, source: str) -> None:
            super().feed_stale(source)
            raise RuntimeError("stale")

    async def test() -> None:
        feed, log = Broken(), Log()
        async with running(feed, nats_server, log=log.logger) as source:
            await feed.until_events(LIVE)
            with Publisher(nats_server) as publisher:
                for number in range(100):
                    publisher.publish("global.a", b"%d" % number)
                publisher.flush()
                await feed.until(lambda: len(feed.messages) == 100, "all messages")
                publisher.publish("global.a", b"and one more")
                publisher.flush()
                await feed.until_received(b"and one more")
            assert source.snapshot()["errors"] == 102
            assert feed.events == [LIVE] and source.connected
            nats_server.restart()
            await feed.until_events(LIVE, STALE, LIVE_AGAIN)
            assert "nats_feed_failed" in log.events()

    run(test())


# Ending


@pytest.mark.parametrize("state", ["connected", "unreachable", "hanging", "refused", "lost"])
def test_stop_leaves_nothing_behind_in_any_state(
    new_server: Callable[[str], NatsServer], state: str
) -> None:
    """What is left is looked for by `running`."""

    async def test() -> None:
        server = new_server("authorization { token: right }")
        if state != "unreachable":
            server.start()
        if state == "hanging":
            server.pause()
        feed = RecordingFeed()
        token = "wrong" if state == "refused" else "right"
        async with running(feed, server, token=token, limits=IMPATIENT) as source:
            if state in ("connected", "lost"):
                await feed.until_events(LIVE)
            elif state != "hanging":
                await attempts(source, 1)
            if state == "lost":
                server.kill()
                await feed.until_events(LIVE, STALE)
            await source.stop()
            await source.stop()

    run(test())


@pytest.mark.parametrize(
    "config", ["", "max_subscriptions: 1"], ids=["until it is live", "until nats-py gives up"]
)
def test_stop_at_any_moment_of_connecting(
    new_server: Callable[[str], NatsServer], config: str
) -> None:
    """Later each time, from before the first turn of the loop until there is a result."""

    async def test() -> None:
        server = new_server(config).start()
        turns = results = 0
        while results < 20:
            feed = RecordingFeed()
            async with running(feed, server) as source:
                for _ in range(turns):
                    await asyncio.sleep(0)
                results += bool(feed.events or source.snapshot()["errors"])
            turns += 1 + turns // 16

    run(test())
