"""The sockets: how they are set, what the kernel holds, whose descriptor is whose."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from pathlib import Path

import pytest

from tests.support.client import Client, request
from tests.support.feed import until
from tests.support.frames import CLOSE, PING, close_frame, command, frame
from tests.support.gateway import LocalGateway, local_gateway, server_side
from tests.support.kernel import accept_queue, memory, unsent_or_unacknowledged
from tests.support.loop import on_loop
from wsgate import flush
from wsgate.edge import acceptor

EVENT = "token.abc.comment"
TCP_NOTSENT_LOWAT = 25
HELD_BYTES_MAX = 64 * 1024


# How they are set


@on_loop
async def test_every_accepted_socket_is_bounded_and_does_not_wait() -> None:
    async with local_gateway() as gateway:
        for _ in range(3):
            client = await gateway.connect()
            with server_side(client) as accepted:
                get = accepted.getsockopt
                assert get(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT) == 16 * 1024
                assert get(socket.SOL_SOCKET, socket.SO_SNDBUF) <= HELD_BYTES_MAX
                assert get(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
                assert not os.get_blocking(accepted.fileno())


@on_loop
async def test_they_are_so_before_the_first_byte_is_written() -> None:
    async with local_gateway() as gateway:
        client = await gateway.dial()
        await client.send(request()[:-1])
        await until(lambda: _is_tuned(client))


def _is_tuned(client: Client) -> bool:
    try:
        with server_side(client) as accepted:
            return accepted.getsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT) == 16 * 1024
    except AssertionError:
        return False  # not accepted yet


# How they are accepted


@on_loop
async def test_clients_that_come_together_are_gathered_and_none_is_forgotten() -> None:
    async with local_gateway() as gateway:
        gathering = gateway.app.acceptor._gathering
        assert gathering is not None, "uvloop's poll descriptor was not found"
        for rounds in range(1, 11):
            await asyncio.gather(*(gateway.connect() for _ in range(10)))
            assert gateway.hub.opened_total == 10 * rounds
        assert 0 < gathering.pauses < 100


# What the kernel holds


@pytest.mark.parametrize("payload", [100, 500, 5000, 100_000])
@pytest.mark.parametrize("receive_buffer", [2048, 8192])
@on_loop
async def test_a_client_that_reads_nothing_costs_the_kernel_little(
    receive_buffer: int, payload: int
) -> None:
    async with local_gateway() as gateway:
        client = await gateway.subscriber("token.*.update", receive_buffer=receive_buffer)
        with server_side(client) as accepted:
            most = 0
            for number in range(200):
                for channel in range(10):
                    gateway.publish(f"token.t{channel}.update", [number, "x" * payload])
                await asyncio.sleep(0)
                most = max(most, memory(accepted).held)
            await gateway.until_flushed()
            most = max(most, memory(accepted).held)
            assert unsent_or_unacknowledged(accepted) > 0, "it has read, or nothing was sent"
            assert most <= HELD_BYTES_MAX
        assert gateway.totals["conflated"] > 500


@on_loop
async def test_what_is_unsent_is_bounded_for_large_windows_too() -> None:
    """Here the kernel fills the client's window, megabytes if it is let."""
    async with local_gateway() as gateway:
        client = await gateway.subscriber("token.*.update")
        with server_side(client) as accepted:
            for number in range(2000):
                gateway.publish("token.abc.update", [number, "x" * 5000])
                await asyncio.sleep(0)
            await gateway.until_flushed()
            assert memory(accepted).held <= 2 * HELD_BYTES_MAX
        assert gateway.totals["conflated"] > 0


# Whose descriptor is whose


@on_loop
async def test_no_byte_goes_to_a_descriptor_that_is_somebody_elses_by_now() -> None:
    """Clients come and go, most with RST, while publications for all of them are under way.

    Descriptors are used again at once. Whoever comes must see his own bytes only: first the 101,
    then whole frames of his own channel.
    """
    chance = random.Random(1)
    async with local_gateway() as gateway:
        publishing = asyncio.create_task(publish_for_ever(gateway, 20))
        clients: list[tuple[Client, str]] = []
        for turn in range(400):
            channel = f"token.c{turn % 20}.comment"
            small = chance.random() < 0.5
            client = await gateway.dial(receive_buffer=2048 if small else None)
            await client.send(request() + subscribe_bytes(channel))
            assert (await client.answer()).status == 101
            clients.append((client, channel))
            if len(clients) > 10:
                leaver, his_channel = clients.pop(chance.randrange(len(clients)))
                await check(leaver, his_channel, at_least=chance.randrange(20))
                chance.choice([leaver.cut, leaver.cut, leaver.close])()
        publishing.cancel()
        for client, channel in clients:
            await check(client, channel, at_least=1)
            assert (await client.close_properly()).close_code == 1000
        assert gateway.hub.opened_total == 400
        await gateway.until_empty()


async def publish_for_ever(gateway: LocalGateway, channels: int) -> None:
    number = 0
    while True:
        for channel in range(channels):
            gateway.publish(f"token.c{channel}.comment", [number, "x" * 500])
        number += 1
        await asyncio.sleep(0)


def subscribe_bytes(channel: str) -> bytes:
    return command("subscribe", channels=[channel])


async def check(client: Client, channel: str, at_least: int) -> None:
    """His reply, then his channel's publications without a hole."""
    reply = await client.message()
    assert list(reply["channels"]) == [channel]
    last = reply["channels"][channel]["seq"]
    for _ in range(at_least):
        message = await client.message()
        assert message["channel"] == channel
        assert message["prev"] == last
        last = message["seq"]


@on_loop
async def test_connections_that_end_in_the_middle_of_a_flush(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Slices of one visit each: everything else happens between any two of them."""
    monkeypatch.setattr(flush, "VISITS_AT_FIRST", 1)
    monkeypatch.setattr(flush, "VISITS_LEAST", 1)
    monkeypatch.setattr(flush, "VISITS_MOST", 1)
    chance = random.Random(2)
    async with local_gateway() as gateway:
        witnesses = [await gateway.subscriber(EVENT) for _ in range(10)]
        published = 0

        def publish() -> None:
            nonlocal published
            gateway.publish(EVENT, published)
            published += 1

        for _ in range(15):
            victims = [await gateway.subscriber(EVENT, receive_buffer=2048) for _ in range(20)]
            ends = {id(connection): connection for connection in gateway.connections[-20:]}
            endings = [*victims, *ends.values()]
            chance.shuffle(endings)
            slices = gateway.hub._flushing.slices.count
            publish()
            for one in endings:
                # Its client cuts it, closes it, or the gateway does, in whatever order.
                await asyncio.sleep(0)
                if isinstance(one, Client):
                    chance.choice([one.cut, one.close])()
                else:
                    one.abort()
                gateway.core.check()
                if chance.random() < 0.3:
                    publish()
            await gateway.until_flushed()
            assert gateway.hub._flushing.slices.count > slices + 5, "the flush was not cut at all"
            await until(lambda: len(gateway.hub) == len(witnesses))
        for witness in witnesses:
            received = [(await witness.message())["data"] for _ in range(published)]
            assert received == list(range(published))
            assert await witness.settle() == []


@on_loop
async def test_a_long_flush_makes_way_for_who_comes() -> None:
    """It is cut short by a client's bytes, and not cut by anything while there are none."""
    async with local_gateway() as gateway:
        flushing = gateway.hub._flushing
        clients = [await gateway.subscriber(EVENT) for _ in range(200)]
        for talks in (False, True):
            slices, began = flushing.slices.count, gateway.totals["writes"]
            flushing._visits = 50
            gateway.publish(EVENT, talks)
            if talks:
                clients[0].socket.send(command("ping"))
            await gateway.until_flushed()
            assert gateway.totals["writes"] >= began + 200
            assert (flushing.slices.count - slices > 1) == talks


@on_loop
async def test_slots_are_used_again_and_their_handles_are_not() -> None:
    async with local_gateway() as gateway:
        handles = set()
        for _ in range(50):
            client = await gateway.subscriber(EVENT)
            handles |= {connection.handle for connection in gateway.connections}
            client.cut()
            await gateway.until_empty()
        assert len(handles) == 50
        assert gateway.core.delivery.slots.count == 0


# A crowd


@on_loop
async def test_a_crowd_may_wait_in_the_kernels_queue() -> None:
    """Past its end the kernel drops what clients send, and they try again a second later."""
    somaxconn = int(Path("/proc/sys/net/core/somaxconn").read_text())
    async with local_gateway() as gateway:
        assert accept_queue(gateway.app._listening).limit == min(somaxconn, 4096)


@on_loop
async def test_a_crowd_that_comes_at_once_is_served() -> None:
    async with local_gateway() as gateway:
        dialled = await asyncio.gather(*(gateway.dial() for _ in range(500)))
        answers = await asyncio.gather(*(client.ask(request()) for client in dialled))
        assert {answer.status for answer in answers} == {101}
        replies = await asyncio.gather(*(client.subscribe(EVENT) for client in dialled))
        assert all(EVENT in reply["channels"] for reply in replies)
        gateway.publish(EVENT, "to all")
        messages = await asyncio.gather(*(client.message() for client in dialled))
        assert {message["data"] for message in messages} == {"to all"}


@on_loop
async def test_a_server_that_was_given_up_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the event loop gives it up when descriptors run out at the wrong moment."""
    monkeypatch.setattr(acceptor, "CHECK_INTERVAL_S", 0.02)
    async with local_gateway() as gateway:
        early = await gateway.subscriber(EVENT)
        for restarts in (1, 2):
            gateway.app.acceptor._servers[restarts].close()  # one of several
            await until(lambda restarts=restarts: gateway.app.acceptor.restarts == restarts)
            late = await gateway.subscriber(EVENT)
            gateway.publish(EVENT, restarts)
            for client in (early, late):
                assert (await client.message())["data"] == restarts
        assert accept_queue(gateway.app._listening).limit > 100


@on_loop
async def test_a_quiet_client_costs_no_write() -> None:
    async with local_gateway() as gateway:
        quiet = await gateway.connect()
        busy = await gateway.subscriber(EVENT)
        writes = gateway.totals["writes"]
        for number in range(10):
            gateway.publish(EVENT, number)
            await busy.message()
        assert gateway.totals["writes"] == writes + 10
        assert await quiet.settle() == []


@on_loop
async def test_what_is_owed_together_leaves_in_one_write() -> None:
    async with local_gateway() as gateway:
        client = await gateway.subscriber(EVENT, "token.abc.update")
        writes = gateway.totals["writes"]
        for number in range(50):
            gateway.publish(EVENT, number)
            gateway.publish("token.abc.update", number)
        await client.messages(51)
        assert gateway.totals["writes"] == writes + 1
        await client.send(frame(PING) + close_frame(1000))
        assert (await client.until_end())[-1].opcode == CLOSE
