"""What each limit does to whoever is past it, and that it does nothing to anybody else."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.certificates import Certificate
from tests.support.client import Client, request
from tests.support.feed import until
from tests.support.frames import CONTINUATION, PING, PONG, TEXT, command, frame
from tests.support.gateway import local_gateway
from tests.support.loop import on_loop
from tests.support.process import GatewayProcess, gateway_process
from tests.support.refusals import is_upgraded
from tests.support.tls_client import TlsClient
from wsgate.limits import EVENTS_BYTES_MIN
from wsgate.protocol import CloseCode

__all__ = ["gateway_process"]  # a fixture

TOO_MANY = CloseCode.TOO_MANY_COMMANDS


# Messages


@on_loop
async def test_a_message_has_so_many_bytes() -> None:
    async with local_gateway(ws_max_message_bytes=2000) as gateway:
        for pieces in (1, 2):
            client = await gateway.connect()
            fits = b'{"type":"ping"}'.ljust(2000)
            await client.send(frame(TEXT, fits))
            assert await client.message() == {"type": "pong"}
            half = 2001 // pieces + 1
            whole = fits + b" "
            for start in range(0, 2001, half):
                opcode = CONTINUATION if start else TEXT
                fin = start + half >= 2001
                await client.send(frame(opcode, whole[start : start + half], fin=fin))
            _, close = await client.until_close(answer=True)
            assert close.close_code == 1009


@on_loop
async def test_a_message_has_so_many_fragments() -> None:
    async with local_gateway(ws_max_fragments=2) as gateway:
        client = await gateway.connect()
        await client.send(frame(TEXT, b'{"type":', fin=False) + frame(CONTINUATION, b'"ping"}'))
        assert await client.message() == {"type": "pong"}
        await client.send(frame(TEXT, b"{", fin=False) + frame(CONTINUATION, b"", fin=False))
        await client.send(frame(CONTINUATION, b"}"))
        _, close = await client.until_close(answer=True)
        assert close.close_code == 1009


@on_loop
async def test_subscriptions_and_channels_have_their_settings() -> None:
    async with local_gateway(ws_max_subscriptions=2, ws_max_channels=3) as gateway:
        first, second = await gateway.connect(), await gateway.connect()
        reply = await first.subscribe("global.a", "global.b", "global.c")
        assert reply["errors"]["global.c"]["code"] == "too_many_subscriptions"
        reply = await second.subscribe("global.c", "global.d")
        assert reply["errors"]["global.d"]["code"] == "too_many_channels"


@on_loop
async def test_a_backlog_has_its_setting() -> None:
    """A client that reads nothing is owed no more than that, and told where there is a gap."""
    async with local_gateway(ws_max_backlog_bytes=EVENTS_BYTES_MIN) as gateway:
        client = await gateway.subscriber("token.a.comment", receive_buffer=4096)
        for _ in range(12):
            gateway.publish("token.a.comment", "x" * 50_000)
            await gateway.until_flushed()
        owed = gateway.core.delivery.backlog()["events_bytes"]
        assert 0 < owed <= EVENTS_BYTES_MIN
        assert gateway.totals["dropped"] > 0
        while (await client.message())["type"] != "gap":
            pass


# Rates


@on_loop
async def test_too_many_commands_end_the_connection() -> None:
    async with local_gateway(ws_max_commands_per_s=1) as gateway:
        client, other = await gateway.connect(), await gateway.connect()
        for number in range(11):  # ten at once, and whatever a slow machine earns meanwhile
            await client.send(command("ping", id=number))
        await client.send(command("ping", id="last") * 10)
        _, close = await client.until_close(answer=True)
        assert (close.close_code, close.close_reason) == (TOO_MANY, "too_many_commands")
        await until(lambda: gateway.hub.closed_by_reason["too_many_commands"] == 1)
        assert await other.settle() == []


@on_loop
async def test_fragments_of_a_message_are_one_command() -> None:
    async with local_gateway(ws_max_commands_per_s=1) as gateway:
        client = await gateway.connect()
        pieces = [frame(CONTINUATION, b" ", fin=False)] * 50
        begin = frame(TEXT, b'{"type":"ping"', fin=False)
        await client.send(begin + b"".join(pieces) + frame(CONTINUATION, b"}"))
        assert await client.message() == {"type": "pong"}
        assert await client.settle() == []


@on_loop
async def test_commands_are_earned_again() -> None:
    async with local_gateway(ws_max_commands_per_s=100) as gateway:
        client = await gateway.connect()
        for _ in range(11):  # more than the 1,000 that there are at most
            await client.send(command("ping") * 100)
            await client.messages(100)
            await asyncio.sleep(0.15)  # what is earned is time's, and later it is no less
        assert await client.settle() == []


@on_loop
async def test_too_many_commands_over_tls(certificate: Certificate) -> None:
    files = {"ws_tls_cert": certificate.path, "ws_tls_key": certificate.key_path}
    async with local_gateway(ws_max_commands_per_s=1, **files) as gateway:
        client = await TlsClient.secure(await gateway.dial(), certificate.trusted())
        assert (await client.ask(request())).status == 101
        await client.send(command("ping") * 30)
        _, close = await client.until_close(answer=True)
        assert close.close_code == TOO_MANY


@on_loop
async def test_too_many_pings_end_the_connection() -> None:
    async with local_gateway(ws_max_pings_per_s=1, ws_max_commands_per_s=0) as gateway:
        client = await gateway.connect()
        await client.send(frame(PONG) * 100)
        await client.send(frame(PING, b"x") * 4 + command("ping"))
        while (received := await client.receive()).opcode == PONG:
            assert received.payload == b"x"
        assert received.message == {"type": "pong"}
        await client.send(frame(PING, b"y") * 20)
        _, close = await client.until_close(answer=True)
        assert close.close_code == TOO_MANY
        await until(lambda: gateway.hub.closed_by_reason["too_many_commands"] == 1)


@on_loop
async def test_without_rates_there_is_no_limit() -> None:
    async with local_gateway(ws_max_pings_per_s=0, ws_max_commands_per_s=0) as gateway:
        client = await gateway.connect()
        await client.send(command("ping") * 2000 + frame(PING) * 2000)
        received = [await client.receive() for _ in range(2000)]
        assert all(one.opcode in (TEXT, PONG) for one in received)
        client.close()


# Descriptors


@on_loop
async def test_without_descriptors_only_newcomers_suffer(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path, descriptors=48, WS_MAX_CONNECTIONS=1000).start()
    clients: list[Client] = []
    try:
        early = await Client.connect(gateway.port)
        clients.append(early)
        admitted = []
        for _ in range(100):
            client = await Client.dial(gateway.port)
            clients.append(client)
            if await is_upgraded(client):
                admitted.append(client)
        assert 5 < len(admitted) < 48
        for client in (early, *admitted):
            await client.say("ping", id=1)
            while await client.message() != {"type": "pong", "id": 1}:
                pass
        for client in admitted:
            client.close()
        async with asyncio.timeout(20):
            while not await is_upgraded(late := await Client.dial(gateway.port)):
                late.close()
                await asyncio.sleep(0.01)
        clients.append(late)
        assert [one for one in await late.settle() if one["type"] != "feed"] == []
        await early.say("ping", id=2)
        assert await early.message() == {"type": "pong", "id": 2}
    finally:
        for client in clients:
            client.close()
        gateway.kill()
