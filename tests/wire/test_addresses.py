"""Whose connection it is, by what a trusted proxy says, and what an address may have of them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from tests.support.certificates import Certificate
from tests.support.client import UPGRADE, request
from tests.support.feed import until
from tests.support.frames import command
from tests.support.gateway import local_gateway
from tests.support.loop import on_loop
from tests.support.refusals import refused
from tests.support.tls_client import TlsClient

# Addresses


@on_loop
async def test_an_address_has_so_many_connections() -> None:
    async with local_gateway(ws_max_connections_per_address=2) as gateway:
        first = await gateway.connect()
        failed = await gateway.dial()
        bad = request(headers=UPGRADE | {"Sec-WebSocket-Key": "short"})
        assert (await failed.ask(bad)).status == 400, "and is not counted"
        await gateway.connect()
        surplus = await gateway.dial()
        answer = await surplus.ask(request())
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) > 0
        assert refused(gateway) == {"address": 1}
        first.close()
        await until(lambda: len(gateway.hub) == 1, "the first to be gone")
        await gateway.connect()
    assert gateway.hub.addresses is not None
    assert len(gateway.hub.addresses) == 0


def forwarded(*values: str) -> bytes:
    lines = "".join(f"X-Forwarded-For: {value}\r\n" for value in values)
    return request()[:-2] + lines.encode() + b"\r\n"


@on_loop
async def test_a_trusted_proxy_says_whose_connection_it_is() -> None:
    async with local_gateway(
        ws_max_connections_per_address=1, ws_trusted_proxies=["127.0.0.0/8"]
    ) as gateway:

        async def status(*values: str) -> int:
            client = await gateway.dial()
            return (await client.ask(forwarded(*values))).status

        assert await status("198.51.100.9, 192.0.2.1") == 101
        assert await status("192.0.2.2") == 101
        assert await status("2001:db8:0:1::1") == 101
        assert [one.peer for one in gateway.connections] == [
            "192.0.2.1",
            "192.0.2.2",
            "2001:db8:0:1::1",
        ]
        assert await status("203.0.113.5", "192.0.2.1") == 503
        assert await status("2001:db8:0:1::2") == 503
        assert await status("2001:db8:0:2::1") == 101
        assert refused(gateway) == {"address": 2}


@pytest.mark.parametrize("proxies", [(), ("192.0.2.0/24",)])
@on_loop
async def test_nobody_else_says_so(proxies: tuple[str, ...]) -> None:
    async with local_gateway(
        ws_max_connections_per_address=1, ws_trusted_proxies=proxies
    ) as gateway:
        client = await gateway.dial()
        assert (await client.ask(forwarded("192.0.2.1"))).status == 101
        assert gateway.connections[0].peer.startswith("127.0.0.1:")
        assert (await (await gateway.dial()).ask(forwarded("192.0.2.2"))).status == 503


# The PROXY protocol


V1 = b"PROXY TCP4 192.0.2.7 203.0.113.1 4711 443\r\n"
V2 = (
    bytes.fromhex("0d0a0d0a000d0a515549540a 21 11 000c")
    + bytes([192, 0, 2, 7, 203, 0, 113, 1])
    + (4711).to_bytes(2, "big")
    + (443).to_bytes(2, "big")
)
V2_LOCAL = bytes.fromhex("0d0a0d0a000d0a515549540a 20 00 0000")
PROXIED: dict[str, Any] = {"ws_trusted_proxies": ["127.0.0.1"], "ws_proxy_protocol": "on"}


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
@pytest.mark.parametrize("piece_bytes", [1, 20, 100_000])
@on_loop
async def test_a_header_names_the_client(header: bytes, piece_bytes: int) -> None:
    async with local_gateway(**PROXIED) as gateway:
        client = await gateway.dial()
        text = header + request() + command("ping", id=1)
        for start in range(0, len(text), piece_bytes):
            await client.send(text[start : start + piece_bytes])
            await asyncio.sleep(0)
        assert (await client.answer()).status == 101
        assert await client.message() == {"type": "pong", "id": 1}
        assert [one.peer for one in gateway.connections] == ["192.0.2.7:4711"]


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
@pytest.mark.parametrize("apart", [True, False])
@on_loop
async def test_a_header_before_tls(certificate: Certificate, header: bytes, apart: bool) -> None:
    files = {"ws_tls_cert": certificate.path, "ws_tls_key": certificate.key_path}
    async with local_gateway(**PROXIED, **files) as gateway:
        bare = await gateway.dial()
        if apart:
            await bare.send(header)
            client = await TlsClient.secure(bare, certificate.trusted())
        else:
            client = TlsClient(bare, certificate.trusted(), None)
            with suppress(OSError):
                client.tls.do_handshake()
            await bare.send(header + client._outgoing.read())
            await client._with_more(client.tls.do_handshake)
            await client.flush()
        assert (await client.ask(request())).status == 101
        assert await client.settle() == []
        assert [one.peer for one in gateway.connections] == ["192.0.2.7:4711"]
        assert len(gateway.app.handshakes) == 0
        assert gateway.app.handshakes.tls_failed == 0


@on_loop
async def test_much_may_come_in_one_read_with_a_header() -> None:
    async with local_gateway(**PROXIED) as gateway:
        client = await gateway.dial()
        commands = b"".join(command("ping", id=number) for number in range(100))
        await client.send(V1 + request() + commands)
        assert (await client.answer()).status == 101
        assert [one["id"] for one in await client.messages(100)] == list(range(100))


@on_loop
async def test_a_health_check_of_the_proxy_itself() -> None:
    async with local_gateway(**PROXIED) as gateway:
        client = await gateway.dial()
        answer = await client.ask(V2_LOCAL + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.status == 200
        upgraded = await gateway.dial()
        assert (await upgraded.ask(V2_LOCAL + request())).status == 101
        assert gateway.connections[0].peer.startswith("127.0.0.1:")


@pytest.mark.parametrize("text", [request(), b"PROXY TCP4 1 2 3 4\r\n", b"\x16\x03\x01"])
@on_loop
async def test_a_trusted_proxy_has_to_send_one(text: bytes) -> None:
    async with local_gateway(**PROXIED) as gateway:
        client = await gateway.dial()
        await client.send(text)
        assert await client.ended() == b""
        await until(lambda: len(gateway.app.handshakes) == 0)
        assert refused(gateway) == {"proxy_header": 1}


@on_loop
async def test_the_time_for_a_header_is_the_handshake_s() -> None:
    async with local_gateway(**PROXIED, ws_handshake_timeout_s=0.05) as gateway:
        client = await gateway.dial()
        await client.send(V1[:10])
        assert await client.ended() == b""
        assert gateway.app.handshakes.expired == 1
        late = await gateway.dial()
        await late.send(V1)
        assert await late.ended() == b""
        assert gateway.app.handshakes.expired == 2


@on_loop
async def test_who_is_no_trusted_proxy_may_not_send_one() -> None:
    others = {"ws_trusted_proxies": ["192.0.2.0/24"], "ws_proxy_protocol": "on"}
    async with local_gateway(**others) as gateway:
        for header in (V1, V2):
            client = await gateway.dial()
            assert (await client.ask(header + request())).status == 400
        await gateway.connect()
        assert gateway.connections[0].peer.startswith("127.0.0.1:")


@on_loop
async def test_a_limit_by_address_goes_by_the_header() -> None:
    async with local_gateway(**PROXIED, ws_max_connections_per_address=1) as gateway:
        for header, status in [(V1, 101), (V2, 503), (V1.replace(b".7 ", b".8 "), 101)]:
            client = await gateway.dial()
            assert (await client.ask(header + request())).status == status
