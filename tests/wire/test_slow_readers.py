"""The rules of the sink on real sockets: a small receive buffer, and a client that sips from it.

Whatever the kernel cuts, the stream stays aligned to frames; events come in order, whole or with a
gap in their place; state ends on the latest.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.frames import CLOSE, Frame
from tests.support.gateway import LocalGateway, local_gateway
from tests.support.loop import on_loop

EVENT = "token.abc.comment"
STATES = [f"token.t{number}.update" for number in range(10)]
SIPS = [*range(1, 17), 64, 125, 126, 127, 500, 1447, 1448, 4096, 65536]
SIPS_A_TURN = 50


class Sipper:
    """Reads a client's socket `size` bytes at a time, and keeps what it makes of them."""

    def __init__(self, client: Client, size: int) -> None:
        self._client = client
        self._size = size
        self.frames: list[Frame] = []
        self.taken = 0

    async def sip(self) -> None:
        """A few sips, and then a turn for the gateway."""
        for _ in range(SIPS_A_TURN):
            try:
                data = self._client.socket.recv(self._size)
            except BlockingIOError:
                break
            assert data, "the gateway has left"
            self.taken += len(data)
            self.frames += self._client.feed(data)
        await asyncio.sleep(0)

    async def until(self, done: Callable[[], bool]) -> None:
        while not done():
            await self.sip()

    @property
    def messages(self) -> list[Any]:
        return [one.message for one in self.frames if one.opcode != CLOSE]

    def data_of(self, channel: str) -> list[Any]:
        return [one["data"] for one in self.messages if one.get("channel") == channel]


async def block(gateway: LocalGateway, channel: str = EVENT) -> int:
    """Publish until a socket takes no more; how many publications it took."""
    number = 0
    while not gateway.core.delivery.backlog()["blocked_connections"]:
        gateway.publish(channel, number)
        number += 1
        if number % 100 == 0:
            await asyncio.sleep(0)
    return number


def assert_in_order_with_gaps(messages: list[Any], subject: str) -> int:
    """Events on one channel: where numbers are missing, and only there, stands a gap. How many?"""
    gaps, last, gap_before = 0, 0, False
    for message in messages:
        if message["type"] == "gap":
            assert message["channels"] == [subject]
            assert not gap_before, "one gap for one hole"
            gap_before = True
            gaps += 1
            continue
        assert message["prev"] == message["seq"] - 1
        assert (message["prev"] > last) == gap_before, (last, message, gap_before)
        last, gap_before = message["seq"], False
    assert not gap_before, "nothing was missing behind the last"
    return gaps


@pytest.mark.parametrize("size", SIPS)
@on_loop
async def test_whatever_is_cut_the_stream_stays_whole(size: int) -> None:
    """Publications of many sizes, made while a slow client sips, are all accounted for."""
    sizes = random.Random(size)
    rounds = 60 if size < 10 else 300
    async with local_gateway() as gateway:
        client = await gateway.subscriber(EVENT, *STATES, receive_buffer=2048)
        sipper = Sipper(client, size)
        for number in range(rounds):
            for channel in STATES:
                gateway.publish(channel, [number, "x" * sizes.randrange(700)])
            gateway.publish(EVENT, [number, "y" * sizes.randrange(700)])
            await asyncio.sleep(0)
            if gateway.core.delivery.backlog()["blocked_connections"]:
                await sipper.sip()  # only now, or the larger sips would keep the socket empty
        latest = rounds - 1
        await sipper.until(
            lambda: (
                bool(sipper.frames)
                and f"[{latest}, " in sipper.frames[-1].text
                and all(
                    any(n == latest for n, _ in sipper.data_of(one)) for one in [EVENT, *STATES]
                )
            )
        )
        assert await client.settle() == []
        assert [number for number, _ in sipper.data_of(EVENT)] == list(range(rounds))
        for channel in STATES:
            numbers = [number for number, _ in sipper.data_of(channel)]
            assert numbers == sorted(set(numbers)), "state never goes back, nor comes twice"
            assert numbers[-1] == latest
        assert gateway.totals["blocked"] > 0, "nothing was ever cut: this proved nothing"


@pytest.mark.parametrize("size", [1, 100, 65536])
@on_loop
async def test_a_frame_larger_than_every_buffer(size: int) -> None:
    large = 60_000 if size == 1 else 250_000
    async with local_gateway() as gateway:
        client = await gateway.subscriber(EVENT, STATES[0], receive_buffer=2048)
        sipper = Sipper(client, size)
        for letter in "abc":
            gateway.publish(EVENT, letter * large)
        gateway.publish(STATES[0], "s" * large)
        gateway.publish(EVENT, "the end")
        await sipper.until(lambda: len(sipper.frames) == 5)
        assert sipper.data_of(EVENT) == ["a" * large, "b" * large, "c" * large, "the end"]
        assert sipper.data_of(STATES[0]) == ["s" * large]


@pytest.mark.parametrize("size", [7, 1000, 65536])
@on_loop
async def test_events_past_the_limit_leave_a_gap_in_their_place(size: int) -> None:
    async with local_gateway(limits={"events_count_max": 20}) as gateway:
        client = await gateway.subscriber(EVENT, receive_buffer=2048)
        sipper = Sipper(client, size)
        published = 0
        for _ in range(5):
            dropped = gateway.totals["dropped"]
            while gateway.totals["dropped"] < dropped + 100:
                gateway.publish(EVENT, "z" * 300)
                published += 1
                await asyncio.sleep(0)
            taken = sipper.taken
            await sipper.until(lambda taken=taken: sipper.taken > taken + 10_000)
        # With nothing owed there is room again.
        await sipper.until(lambda: gateway.core.delivery.backlog()["events"] == 0)
        gateway.publish(EVENT, "the end")
        await sipper.until(lambda: "the end" in sipper.data_of(EVENT)[-1:])
        gaps = assert_in_order_with_gaps(sipper.messages, "token.*.comment")
        assert gaps >= 1
        received = len(sipper.data_of(EVENT))
        assert received + gateway.totals["dropped"] == published + 1
        assert gateway.totals["gaps"] == gaps


@on_loop
async def test_others_are_not_concerned_by_a_slow_one() -> None:
    async with local_gateway(limits={"events_count_max": 20}) as gateway:
        await gateway.subscriber(EVENT, receive_buffer=2048)
        fast = await gateway.subscriber(EVENT)
        number = 0
        while gateway.totals["dropped"] < 100:
            gateway.publish(EVENT, [number, "x" * 300])
            assert (await fast.message())["data"][0] == number
            number += 1


@on_loop
async def test_what_a_slow_client_gets_late_is_what_the_kernel_held() -> None:
    """All the rest is merged: it ends on the latest of every channel, soon."""
    async with local_gateway() as gateway:
        client = await gateway.subscriber("token.*.update", receive_buffer=4096)
        rounds = 300
        for number in range(rounds):
            for channel in STATES:
                gateway.publish(channel, [number, "x" * 500])
            await asyncio.sleep(0)
        await gateway.until_flushed()
        old_bytes = 0
        latest: dict[str, int] = {}
        while list(latest.values()) != [rounds - 1] * len(STATES):
            frame = await client.receive()
            message = frame.message
            assert latest.get(message["channel"]) != rounds - 1, "after the latest comes nothing"
            latest[message["channel"]] = number = message["data"][0]
            old_bytes += len(frame.payload) if number < rounds - 1 else 0
        assert await client.settle() == []
        assert old_bytes < 65_536
        assert gateway.totals["conflated"] > rounds * len(STATES) / 2


@on_loop
async def test_replies_overtake_what_waits_but_never_cut_into_a_frame() -> None:
    async with local_gateway() as gateway:
        client = await gateway.subscriber(EVENT, receive_buffer=2048)
        published = await block(gateway)
        for _ in range(500):
            gateway.publish(EVENT, "more")
        for number in range(100):
            await client.say("ping", id=number)
        [connection] = gateway.connections
        await until_owed(gateway, connection.handle, control=100)
        sipper = Sipper(client, 11)
        await sipper.until(lambda: len(sipper.frames) == published + 600)
        pongs = [place for place, one in enumerate(sipper.messages) if one["type"] == "pong"]
        assert pongs == list(range(pongs[0], pongs[0] + 100)), "together"
        assert pongs[0] < published + 100, "before the events that waited"
        assert [sipper.messages[place]["id"] for place in pongs] == list(range(100))
        assert_in_order_with_gaps(
            [one for one in sipper.messages if one["type"] != "pong"], "token.*.comment"
        )


@on_loop
async def test_a_slow_client_that_unsubscribes_gets_nothing_of_it_after_the_reply() -> None:
    async with local_gateway() as gateway:
        client = await gateway.subscriber(EVENT, "global.news", *STATES, receive_buffer=2048)
        await block(gateway)
        for number in range(100):
            gateway.publish(EVENT, number)
            gateway.publish("global.news", number)
            for channel in STATES:
                gateway.publish(channel, number)
        await client.say("unsubscribe", channels=[EVENT, *STATES])
        [connection] = gateway.connections
        await until_owed(gateway, connection.handle, control=1)
        while (message := await client.message())["type"] != "unsubscribed":
            assert message["channel"] == EVENT
        rest = await client.settle()
        assert [one["data"] for one in rest] == list(range(100))
        assert {one["channel"] for one in rest} == {"global.news"}


@on_loop
async def test_many_slow_clients_each_in_his_own_way() -> None:
    """Windows of all sizes on both sides; everybody ends on the same latest values."""
    async with local_gateway() as gateway:
        sippers = [
            Sipper(
                await gateway.subscriber("token.*.update", EVENT, receive_buffer=1024 << place % 6),
                size,
            )
            for place, size in enumerate([13, 100, 999, 1448, 5000, 65536] * 3)
        ]
        for number in range(200):
            for channel in STATES:
                gateway.publish(channel, [number, "x" * 400])
            gateway.publish(EVENT, [number, "y" * 400])
            await sippers[number % len(sippers)].sip()

        def up_to_date(sipper: Sipper) -> bool:
            seen: dict[str, int] = defaultdict(int)
            for message in sipper.messages[-200:]:
                seen[message["channel"]] = message["data"][0]
            return len(seen) == 11 and set(seen.values()) == {199}

        for sipper in sippers:
            await sipper.until(lambda sipper=sipper: up_to_date(sipper))
            assert [number for number, _ in sipper.data_of(EVENT)] == list(range(200))


async def until_owed(gateway: LocalGateway, handle: int, *, control: int) -> None:
    while gateway.core.delivery.owed(handle)["control"] < control:
        await asyncio.sleep(0)
