"""The aggregator and a NATS server that sends, and for a while reads nothing."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.support.fake_nats import FakeNats, Peer
from tests.support.feed import until
from tests.support.loop import on_loop
from wsgate.aggregate.aggregator import Aggregator
from wsgate.aggregate.outgoing import UNWRITTEN_BYTES_MAX
from wsgate.blueprint import AggregationBlueprint
from wsgate.control import GAP_SUBJECT
from wsgate.renaming import Renaming
from wsgate.rules import DEFAULT_RULES
from wsgate.sources import Feed
from wsgate.sources.nats import NatsSource

BLUEPRINT = AggregationBlueprint(
    renaming=Renaming(raw="raw", channels=""),
    rules=DEFAULT_RULES,
    channels=("token.*.update", "token.*.comment"),
    window_s=0.05,
    channels_max=100,
    backlog_bytes_max=512 * 1024,
    nats=None,  # type: ignore[arg-type]  # told apart
)
PAYLOAD_BYTES = 8192
COMMAND = re.compile(rb"PUB ([^ ]+) (\d+)\r\n")


class SlowServer:
    """Sends numbered publications until it is told not to; reads what it is sent after that."""

    def __init__(self) -> None:
        self.published = 0
        self.enough = asyncio.Event()
        self.received = bytearray()

    async def script(self, client: Peer) -> None:
        await client.welcome()
        while not self.enough.is_set():
            self.published += 1
            await self._send(client)
            await asyncio.sleep(0)
        while data := await client._reader.read(1 << 20):
            self.received += data
            if b"PING\r\n" in data:
                await client.send(b"PONG\r\n")
            # Behind the gap one more of each, which has to come.
            if self.published and GAP_SUBJECT.encode() in self.received.partition(b"PUB token")[2]:
                self.published += 1
                await self._send(client)
                self.published, self.last = 0, self.published

    async def _send(self, client: Peer) -> None:
        payload = (b"%08d" % self.published).ljust(PAYLOAD_BYTES, b".")
        for subject in (b"raw.token.a.comment", b"raw.token.a.update"):
            await client.send(b"MSG %b 1 %d\r\n%b\r\n" % (subject, len(payload), payload))

    def parsed(self) -> list[tuple[str, int]]:
        """What was published, whole: the channel, and which it was; -1 for a gap."""
        found, data = [], bytes(self.received)
        for head in COMMAND.finditer(data):
            payload = data[head.end() : head.end() + int(head[2])]
            if len(payload) == int(head[2]):
                gap = head[1].decode() == GAP_SUBJECT
                found.append((head[1].decode(), -1 if gap else int(payload[:8])))
        return found


@pytest.mark.parametrize("gather_s", [0.0, 0.001])
@on_loop
async def test_what_is_held_for_a_slow_server_is_bounded(gather_s: float) -> None:
    slow = SlowServer()
    async with FakeNats(slow.script) as server:

        def make_source(feed: Feed) -> NatsSource:
            return NatsSource(feed, [server.url], ["raw.token.>"], echo=False, gather_s=gather_s)

        aggregator = Aggregator(BLUEPRINT, asyncio.get_running_loop(), make_source)
        source = aggregator.outgoing.outlet
        assert isinstance(source, NatsSource)
        await source.start()
        await until(lambda: source.connected, "a live source")
        server.live.set()
        await until(lambda: aggregator.events.dropped > 50, "events that are dropped")
        assert not aggregator.outgoing.open
        assert aggregator.events.backlog_bytes <= BLUEPRINT.backlog_bytes_max
        assert aggregator.states.held <= 1
        # Past the bound by no more than what was in one write.
        assert UNWRITTEN_BYTES_MAX < source.unwritten_bytes < UNWRITTEN_BYTES_MAX + 2**20
        slow.enough.set()
        await until(lambda: slow.published == 0, "the gap")
        last = slow.last
        await until(
            lambda: ("token.a.update", last) in slow.parsed() and not aggregator.held, "the latest"
        )
        published = slow.parsed()
        assert published[0] == (GAP_SUBJECT, -1), "that of the start"
        events = [number for name, number in published[1:] if name != "token.a.update"]
        gap = events.index(-1)
        assert events[:gap] == list(range(1, gap + 1)), "all that were held, and then the gap"
        assert events[gap + 1 :] == sorted(events[gap + 1 :])
        assert events[-1] == last
        states = [number for name, number in published if name == "token.a.update"]
        assert states == sorted(set(states)) and states[-1] == last
        assert aggregator.events.passed + aggregator.events.dropped == last
        aggregator.stop()
        await source.stop()
