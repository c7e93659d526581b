"""What a NATS source says of what it has read, and what it takes to publish."""

from __future__ import annotations

import asyncio
from typing import Any

import nats.errors
import pytest
from nats.aio.client import DEFAULT_BUFFER_SIZE

from tests.support.fake_nats import FakeNats, Peer
from tests.support.feed import RecordingFeed, run
from wsgate.sources.nats import NatsSource
from wsgate.sources.nats_client import HardenedClient
from wsgate.sources.nats_limits import NatsLimits

LIMITS = NatsLimits(
    connect_timeout_s=0.3,
    heartbeat_interval_s=1000.0,
    close_timeout_s=0.3,
    backoff_base_s=0.001,
    backoff_cap_s=0.01,
)
SUBJECTS = ("a.*", "b.>")
LIVE, STALE, LIVE_AGAIN = ("live", "nats"), ("stale", "nats"), ("live", "nats", *SUBJECTS)


def make_source(feed: RecordingFeed, url: str) -> NatsSource:
    return NatsSource(feed, [url], SUBJECTS, streams=(), limits=LIMITS)


async def good(client: Peer) -> None:
    await client.greet()
    await client.answer()


@pytest.mark.parametrize("gather_s", [0.0, 0.001])
@pytest.mark.parametrize("read_bytes", [100, DEFAULT_BUFFER_SIZE])
def test_that_this_was_all_is_said_behind_the_last_also_of_a_full_read(
    read_bytes: int, gather_s: float
) -> None:
    """A read of as much as one may have can be the last there is for a while."""
    told: list[str] = []

    class Transport:
        reading = True
        _io_writer: Any = property(lambda self: self)
        transport: Any = property(lambda self: self)

        def is_closing(self) -> bool:
            return False

        def pause_reading(self) -> None:
            self.reading = False

        def resume_reading(self) -> None:
            self.reading = True

    def take(subject: bytes, reply: bytes, payload: bytes, header: bytes | None) -> None:
        told.append(subject.decode())

    async def test() -> None:
        client = HardenedClient(lambda: None, lambda: told.append("all"), gather_s=gather_s)
        client._transport = transport = Transport()
        client._receivers[1] = take
        begins = b"MSG a.x 1 %05d\r\n"
        size = read_bytes - len(begins % 0) - 2
        data = begins % size + b"x" * size + b"\r\n"
        assert len(data) == read_bytes
        parsing = asyncio.create_task(client._ps.parse(data))
        while "all" not in told:
            await asyncio.sleep(0)
        assert told == ["a.x", "all"]
        await parsing
        assert transport.reading

    run(test())


def test_what_is_published_goes_behind_what_was_and_is_known_to_have_come() -> None:
    lines: list[bytes] = []

    async def listening(client: Peer) -> None:
        await client.welcome()
        while line := await client._reader.readline():
            lines.append(line)
            if line == b"PING\r\n":
                await client.send(b"MSG a.x 1 4\r\nlate\r\nPONG\r\n" if ended() else b"PONG\r\n")

    def ended() -> bool:
        return b"UNSUB 1\r\n" in lines

    async def test() -> None:
        feed = RecordingFeed()
        async with FakeNats(listening) as server:
            source = make_source(feed, server.url)
            source.write(b"PUB nowhere 0\r\n\r\n")
            with pytest.raises(ConnectionError):
                await source.settle()
            assert source.unwritten_bytes == 0
            await source.start()
            await feed.until_events(LIVE)
            server.live.set()
            source.write(b"PUB a 1\r\n1\r\n")
            source.write(b"PUB b 1\r\n2\r\n")
            await source.settle()
            assert lines[:5] == [b"PUB a 1\r\n", b"1\r\n", b"PUB b 1\r\n", b"2\r\n", b"PING\r\n"]
            await source.end_input()
            assert sum(line.startswith(b"UNSUB") for line in lines) == len(SUBJECTS)
            assert feed.payloads[0] == b"late", "what was on its way still came"
            await source.stop()

    run(test())


def test_an_answer_that_nobody_waits_for_any_more_harms_nobody() -> None:
    given_up = asyncio.Event()
    ended: list[str] = []

    async def late(client: Peer) -> None:
        await client.greet()
        await client.answer(pings=1)
        await given_up.wait()
        await client.answer()

    async def test() -> None:
        client = HardenedClient(lambda: ended.append("reading"), lambda: None)
        async with FakeNats(late) as server:
            await client.connect(servers=[server.url], allow_reconnect=False)
            asking = asyncio.create_task(client.rtt(timeout=1000))
            while not client._pongs:
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait({asking})
            given_up.set()
            await client.rtt(timeout=10)
            assert not ended
            await client.close()

    run(test())


def test_who_waits_for_a_server_that_goes_is_told() -> None:
    async def leaving(client: Peer) -> None:
        await client.welcome()
        await client._reader.readline()

    async def test() -> None:
        feed = RecordingFeed()
        async with FakeNats(leaving, good) as server:
            source = make_source(feed, server.url)
            await source.start()
            await feed.until_events(LIVE)
            server.live.set()
            with pytest.raises((ConnectionError, OSError, nats.errors.Error)):
                await source.settle()
            await feed.until_events(LIVE, STALE, LIVE_AGAIN)
            await source.settle()
            await source.stop()

    run(test())
