"""PING and PONG in both directions: who is alive, and what a flood of them costs."""

from __future__ import annotations

import asyncio

from tests.support.feed import until
from tests.support.frames import PING, PONG, TEXT, Frame, command, frame
from tests.support.gateway import local_gateway
from tests.support.loop import on_loop

EVENT = "token.abc.comment"
SOON = {"ping_interval_s": 0.1}


@on_loop
async def test_a_ping_comes_back_with_its_payload() -> None:
    async with local_gateway() as gateway:
        client = await gateway.connect()
        for payload in (b"", b"x", b"\x00\xff", b"y" * 125):
            await client.send(frame(PING, payload))
            assert await client.receive() == Frame(PONG, payload)


@on_loop
async def test_pings_that_come_together_are_all_answered() -> None:
    async with local_gateway() as gateway:
        client = await gateway.connect()
        pings = [b"%d" % number for number in range(16)]
        await client.send(b"".join(frame(PING, payload) for payload in pings))
        assert [(await client.receive()).payload for _ in pings] == pings


@on_loop
async def test_of_a_flood_only_some_are_answered_and_the_newest_is() -> None:
    async with local_gateway() as gateway:
        client = await gateway.connect()
        await client.send(b"".join(frame(PING, b"%d" % number) for number in range(5000)))
        answered = []
        while b"4999" not in answered:
            pong = await client.receive()
            assert pong.opcode == PONG
            answered.append(pong.payload)
        numbers = [int(payload) for payload in answered]
        assert numbers == sorted(set(numbers))
        assert len(numbers) < 1000
        assert await client.settle() == []


@on_loop
async def test_whoever_floods_and_reads_nothing_is_owed_few_pongs() -> None:
    async with local_gateway() as gateway:
        client = await gateway.subscriber(EVENT, receive_buffer=4096)
        [connection] = gateway.connections
        while not gateway.core.delivery.is_blocked(connection.handle):
            gateway.publish(EVENT, "x" * 1000)
            await asyncio.sleep(0)
        for number in range(10_000):
            await client.send(frame(PING, b"%d" % number))
        await client.say("ping", id="behind them")
        await until(lambda: gateway.core.delivery.owed(connection.handle)["control"] == 17)
        while (received := await client.receive()).opcode == TEXT:
            pass
        pongs = [received, *[await client.receive() for _ in range(15)]]
        assert [int(one.payload) for one in pongs] == [*range(15), 9999]
        assert await client.message() == {"type": "pong", "id": "behind them"}


@on_loop
async def test_a_silent_client_is_pinged_and_lives_as_long_as_it_answers() -> None:
    async with local_gateway(limits=SOON) as gateway:
        client = await gateway.connect()
        for _ in range(5):
            assert await client.receive() == Frame(PING, b"")
            await client.send(frame(PONG))
        assert len(gateway.hub) == 1


@on_loop
async def test_a_client_that_answers_nothing_is_cut_off() -> None:
    async with local_gateway(limits=SOON) as gateway:
        client = await gateway.connect()
        assert await client.until_end() == [Frame(PING, b"")]
        await gateway.until_empty()
        assert gateway.hub.closed_by_reason == {"ping_timeout": 1}


@on_loop
async def test_whoever_speaks_is_not_pinged() -> None:
    async with local_gateway(limits=SOON) as gateway:
        silent, talker = await gateway.connect(), await gateway.connect()
        pinged = asyncio.create_task(silent.until_end())
        replies = 0
        while not pinged.done():
            await talker.send(command("ping", id=replies))
            assert await talker.message() == {"type": "pong", "id": replies}
            replies += 1
        assert await pinged == [Frame(PING, b"")]
        assert len(gateway.hub) == 1


@on_loop
async def test_a_slow_reader_is_not_taken_for_dead() -> None:
    """It cannot answer what it has not been sent."""
    async with local_gateway(limits=SOON) as gateway:
        slow = await gateway.subscriber("token.*.update", receive_buffer=4096)
        [connection] = gateway.connections
        number = 0
        while not gateway.core.delivery.is_blocked(connection.handle):
            number += 1
            gateway.publish("token.abc.update", [number, "x" * 1000])
            await asyncio.sleep(0)
        # Others come and are cut off meanwhile.
        for _ in range(3):
            dead = await gateway.connect()
            await dead.until_end()
        assert gateway.hub.closed_by_reason == {"ping_timeout": 3}
        while (await slow.message())["data"][0] != number:
            pass
