"""The NATS source while servers are away, killed or frozen: what it tells, and who takes over."""

from __future__ import annotations

from collections.abc import Callable

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

__all__ = ["nats_server", "new_server"]


def test_start_returns_before_there_is_a_server(new_server: Callable[[str], NatsServer]) -> None:
    async def test() -> None:
        server, feed, log = new_server(""), RecordingFeed(), Log()
        async with running(feed, server, log=log.logger) as source:
            await attempts(source, 3)
            assert feed.events == [] and not source.connected
            assert log.events() == {"nats_unreachable"}
            assert all("NATS_URL" in entry["hint"] for entry in log.entries)
            server.start()
            await feed.until_events(LIVE)

    run(test())


def test_an_outage_is_told_at_once_and_its_end_with_what_was_missed(
    nats_server: NatsServer,
) -> None:
    async def test() -> None:
        feed = RecordingFeed()
        async with running(feed, nats_server) as source:
            await feed.until_events(LIVE)
            for outage in range(1, 4):
                nats_server.kill()
                await feed.until_events(LIVE, *[STALE, LIVE_AGAIN] * (outage - 1), STALE)
                assert not source.connected
                await attempts(source, 2)
                nats_server.start()
                await feed.until_events(LIVE, *[STALE, LIVE_AGAIN] * outage)
                assert source.connected
                payload = b'{"after":%d}' % outage
                with Publisher(nats_server) as publisher:
                    publisher.publish("global.a", payload)
                    publisher.flush()
                await feed.until_received(payload)
                assert source.snapshot()["reconnects"] == outage
            assert source.snapshot()["received"] == 3

    run(test())


def test_the_next_server_takes_over(new_server: Callable[[str], NatsServer]) -> None:
    async def test() -> None:
        first, second = new_server("").start(), new_server("").start()
        feed = RecordingFeed()
        async with running(feed, first, second):
            await feed.until_events(LIVE)
            first.kill()
            await feed.until_events(LIVE, STALE, LIVE_AGAIN)
            with Publisher(second) as publisher:
                publisher.publish("global.a", b"from the second")
                publisher.flush()
            await feed.until_received(b"from the second")
            second.kill()
            first.start()
            await feed.until_events(LIVE, *[STALE, LIVE_AGAIN] * 2)

    run(test())


def test_a_server_that_hangs_is_noticed(nats_server: NatsServer) -> None:
    async def test() -> None:
        feed = RecordingFeed()
        async with running(feed, nats_server, limits=IMPATIENT) as source:
            await feed.until_events(LIVE)
            nats_server.pause()
            await feed.until_events(LIVE, STALE)
            # While it hangs, the kernel goes on accepting connections in its name.
            await attempts(source, 2)
            nats_server.resume()
            await feed.until_events(LIVE, STALE, LIVE_AGAIN)

    run(test())


def test_a_server_that_hangs_from_the_start_does_not_keep_the_others_waiting(
    new_server: Callable[[str], NatsServer],
) -> None:
    async def test() -> None:
        hanging, well = new_server("").start(), new_server("").start()
        hanging.pause()
        feed = RecordingFeed()
        async with running(feed, hanging, well, limits=IMPATIENT):
            await feed.until_events(LIVE)
            with Publisher(well) as publisher:
                publisher.publish("global.a", b"well")
                publisher.flush()
            await feed.until_received(b"well")

    run(test())
