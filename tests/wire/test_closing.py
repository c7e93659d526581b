"""How connections end: by whom, with what, in which order, and what is left of them."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from tests.support.client import Client, request
from tests.support.conversation import browser
from tests.support.feed import until
from tests.support.frames import CLOSE, close_frame, command, frame
from tests.support.gateway import LocalGateway, local_gateway, server_side
from tests.support.loop import on_loop
from wsgate.hub import Connection

EVENT = "token.abc.comment"
NEVER_S = 3600


async def stopping(gateway: LocalGateway) -> asyncio.Task[None]:
    """The gateway's stop, under way: no more sockets are accepted."""
    stop = gateway.stop()
    await until(lambda: "stopping" in gateway.app.not_ready())
    return stop


async def stuff(gateway: LocalGateway, client: Client, channel: str = EVENT) -> int:
    """Publish until the client's socket takes no more; how many it was."""
    published = 0
    while not gateway.core.delivery.backlog()["blocked_connections"]:
        gateway.publish(channel, "x" * 1000)
        published += 1
        await asyncio.sleep(0)
    return published


# The client begins


@pytest.mark.parametrize("code", [None, 1000, 1001, 1003, 1011, 1014, 3000, 4999])
@on_loop
async def test_a_clients_close_is_answered_with_its_own_code(code: int | None) -> None:
    async with local_gateway() as gateway:
        client = await gateway.subscriber(EVENT)
        await client.send(close_frame(code, b"" if code is None else b"good bye"))
        received, close = await client.until_close()
        assert received == []
        assert (close.close_code, close.close_reason) == (code, "")
        await gateway.until_empty()
        assert gateway.hub.closed_by_reason == {"client": 1}


@on_loop
async def test_an_independent_client_closes() -> None:
    async with local_gateway() as gateway:
        async with browser(gateway.port) as client:
            await client.subscribe(EVENT)
        assert client.connection.close_code == 1000
        await gateway.until_empty()


@on_loop
async def test_nothing_comes_between_a_clients_close_and_the_answer() -> None:
    async with local_gateway(ws_flush_window_ms=10_000) as gateway:
        client = await gateway.subscriber(EVENT)
        gateway.publish(EVENT, "opens the window")
        await client.message()
        gateway.publish(EVENT, "owed")
        await client.send(close_frame(1000) + command("ping") + frame(CLOSE))
        received, close = await client.until_close()
        assert received == [] and close.close_code == 1000


@on_loop
async def test_commands_before_close_are_answered_or_not_but_close_is_last() -> None:
    async with local_gateway() as gateway:
        client = await gateway.connect()
        await client.send(b"".join(command("ping", id=i) for i in range(20)) + close_frame(1000))
        received, close = await client.until_close()
        assert [one.message["id"] for one in received] == list(range(len(received)))
        assert close.close_code == 1000


@on_loop
async def test_a_client_that_closes_and_reads_nothing_is_cut_off() -> None:
    """Its CLOSE cannot be answered: the socket takes no more."""
    async with local_gateway(limits={"close_timeout_s": 0.05}) as gateway:
        client = await gateway.subscriber(EVENT, receive_buffer=4096)
        await stuff(gateway, client)
        await client.send(close_frame(1000))
        await gateway.until_empty()
        assert gateway.hub.closed_by_reason == {"client": 1}


# The client is gone


@pytest.mark.parametrize("leave", ["close", "cut"])
@pytest.mark.parametrize("stuffed", [False, True], ids=["idle", "owed"])
@on_loop
async def test_a_client_that_is_gone_leaves_nothing_behind(leave: str, stuffed: bool) -> None:
    async with local_gateway() as gateway:
        client = await gateway.subscriber(EVENT, "token.*.update", receive_buffer=4096)
        await client.subscribe("token.paced.update", max_rate=1)
        gateway.publish("token.paced.update", 1)
        gateway.publish("token.paced.update", 2)
        if stuffed:
            await stuff(gateway, client)
        getattr(client, leave)()
        await gateway.until_empty()
        # "broken" if a write found it out before a read did
        assert gateway.hub.closed_by_reason in ({"lost": 1}, {"broken": 1})
        assert gateway.core.index.subscriptions == 0
        assert gateway.core.delivery.backlog() == {
            "events_bytes": 0, "events": 0, "states": 0, "blocked_connections": 0,
            "paused_connections": 0,
        }  # fmt: skip


@on_loop
async def test_a_client_that_only_ends_its_own_direction_is_gone() -> None:
    async with local_gateway() as gateway:
        client = await gateway.subscriber(EVENT)
        client.socket.shutdown(socket.SHUT_WR)
        assert await client.until_end() == []
        await gateway.until_empty()


@on_loop
async def test_a_client_that_the_hub_cannot_take_costs_nobody_else_his_connection() -> None:
    async with local_gateway() as gateway:
        first = await gateway.subscriber(EVENT)
        take = gateway.hub.opened

        def refuse(connection: Connection) -> None:
            raise MemoryError

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gateway.hub, "opened", refuse)
            unlucky = await gateway.connect()
            await unlucky.until_end()
        assert gateway.hub.opened == take
        gateway.publish(EVENT, "still here")
        assert (await first.message())["data"] == "still here"
        assert len(gateway.hub) == 1


@on_loop
async def test_half_a_command_is_no_command() -> None:
    async with local_gateway() as gateway:
        client = await gateway.connect()
        await client.send(command("subscribe", channels=[EVENT])[:-1])
        client.cut()
        await gateway.until_empty()
        assert gateway.core.channels.count == 0


# The gateway begins


@on_loop
async def test_stop_says_1012_after_all_that_is_owed() -> None:
    async with local_gateway(ws_flush_window_ms=10_000) as gateway:
        clients = [await gateway.subscriber(EVENT, "token.*.update") for _ in range(5)]
        gateway.publish(EVENT, "opens the window")
        for number in range(1000):
            gateway.publish(EVENT, number)
        stop = await stopping(gateway)
        for client in clients:
            received = [await client.message() for _ in range(1001)]
            assert [one["data"] for one in received] == ["opens the window", *range(1000)]
            close = await client.receive()
            assert (close.close_code, close.close_reason) == (1012, "service_restart")
        assert not stop.done()
        for client in clients:
            await client.send(close_frame(1012))
            assert await client.until_end() == []
        await stop
        assert gateway.hub.closed_by_reason == {"service_restart": 5}


@on_loop
async def test_an_independent_client_sees_1012() -> None:
    async with local_gateway() as gateway, browser(gateway.port) as client:
        await client.subscribe(EVENT)
        await gateway.stop()
        await client.connection.wait_closed()
        assert client.connection.close_code == 1012
        assert client.connection.close_reason == "service_restart"


@pytest.mark.parametrize("stuffed", [False, True], ids=["idle", "owed"])
@pytest.mark.parametrize("bound", ["close_timeout_s", "shutdown_timeout_s"])
@on_loop
async def test_stop_does_not_wait_for_those_who_do_not_answer(bound: str, stuffed: bool) -> None:
    limits = {"close_timeout_s": NEVER_S, "shutdown_timeout_s": NEVER_S, bound: 0.05}
    async with local_gateway(limits=limits) as gateway:
        client = await gateway.subscriber(EVENT, receive_buffer=4096)
        if stuffed:
            await stuff(gateway, client)
        await gateway.stop()
        assert len(gateway.hub) == 0


@on_loop
async def test_who_is_slow_gets_all_that_is_owed_if_he_reads_in_time() -> None:
    async with local_gateway() as gateway:
        client = await gateway.subscriber(EVENT, receive_buffer=4096)
        published = await stuff(gateway, client)
        for _ in range(100):
            gateway.publish(EVENT, "more")
        stop = await stopping(gateway)
        received = [await client.message() for _ in range(published + 100)]
        assert [one["seq"] for one in received] == list(range(1, published + 101))
        assert (await client.receive()).close_code == 1012
        await client.send(close_frame(1012))
        await stop


@on_loop
async def test_a_client_that_upgrades_while_the_gateway_stops() -> None:
    async with local_gateway(limits={"close_timeout_s": NEVER_S}) as gateway:
        silent = await gateway.connect()
        late = await gateway.dial()
        await late.send(request()[:20])
        await until(lambda: accepted(late), "the socket to be accepted")
        stop = await stopping(gateway)
        assert (await silent.receive()).close_code == 1012
        await late.send(request()[20:])
        answer = await late.answer()
        if answer.status == 101:
            assert (await late.receive()).close_code == 1012
            await late.send(close_frame(1012))
        else:
            assert answer.status == 503
        silent.close()
        await stop


@on_loop
async def test_a_handshake_that_does_not_end_is_ended_by_the_stop() -> None:
    async with local_gateway() as gateway:
        late = await gateway.dial()
        await late.send(request()[:20])
        await until(lambda: len(gateway.app.handshakes) == 1)
        await gateway.stop()
        assert await late.ended() == b""
        assert len(gateway.app.handshakes) == 0


def accepted(client: Client) -> bool:
    try:
        server_side(client).close()
    except AssertionError:
        return False
    return True


# Slow consumers whom no gap can help


@on_loop
async def test_an_event_rule_may_close_instead_of_a_gap() -> None:
    strict = json.dumps(
        [{"subject": "order.*", "type": "order", "kind": "event", "overflow": "close"}]
    )
    async with local_gateway(
        ws_rules=strict,
        nats_subjects=["order.*"],
        limits={"close_timeout_s": NEVER_S, "events_count_max": 16},
    ) as gateway:
        client = await gateway.subscriber("order.a", receive_buffer=4096)
        witness = await gateway.subscriber("order.a")
        while not any(connection.end_reason for connection in gateway.connections):
            gateway.publish("order.a", "x" * 1000)
            await witness.message()
        received, close = await client.until_close(answer=True)
        assert (close.close_code, close.close_reason) == (4001, "slow_consumer")
        assert [one.message["seq"] for one in received] == list(range(1, len(received) + 1))


@on_loop
async def test_whoever_asks_and_never_reads_is_cut_off() -> None:
    async with local_gateway(limits={"close_timeout_s": 0.05}) as gateway:
        client = await gateway.connect(receive_buffer=4096)
        flood = command("ping", id="x" * 64) * 500
        try:
            while True:
                await client.send(flood)
        except OSError:
            pass
        await gateway.until_empty()
        assert gateway.hub.closed_by_reason == {"slow_consumer": 1}
