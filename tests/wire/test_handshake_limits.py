"""Before the upgrade: how long a head may be, how long it may take, and who gives way to whom."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.certificates import Certificate
from tests.support.client import UPGRADE, request
from tests.support.feed import until
from tests.support.frames import command
from tests.support.gateway import local_gateway
from tests.support.loop import on_loop
from tests.support.refusals import is_upgraded, refused
from tests.support.tls_client import TlsClient
from wsgate.edge import admission

HEADER_BYTES_MAX = 2048
FOR_EVER_S = 1e9


def request_of(size: int) -> bytes:
    """An upgrade request whose head, with the empty line, has that many bytes."""
    filler = size - len(request(headers=UPGRADE | {"X-Filler": ""}))
    made = request(headers=UPGRADE | {"X-Filler": "x" * filler})
    assert len(made) == size
    return made


# The head of a request


@pytest.mark.parametrize("pieces", [1, 5])
@on_loop
async def test_a_head_may_be_as_long_as_the_limit(pieces: int) -> None:
    async with local_gateway(ws_max_header_bytes=HEADER_BYTES_MAX) as gateway:
        client = await gateway.dial()
        text = request_of(HEADER_BYTES_MAX) + command("ping", id=1)
        size = len(text) // pieces + 1
        for start in range(0, len(text), size):
            await client.send(text[start : start + size])
            await asyncio.sleep(0)  # the gateway reads it
        assert (await client.answer()).status == 101
        assert await client.message() == {"type": "pong", "id": 1}
        assert refused(gateway) == {}


@pytest.mark.parametrize("limit", [HEADER_BYTES_MAX, 16384])
@pytest.mark.parametrize("text", ["whole", "endless", "followed"])
@on_loop
async def test_a_longer_head_is_refused_with_431(limit: int, text: str) -> None:
    head = request_of(limit + 1)
    sent = {"whole": head, "endless": head[:-4] + b"yyy", "followed": head + b"z" * 100_000}[text]
    async with local_gateway(ws_max_header_bytes=limit) as gateway:
        client = await gateway.dial()
        answer = await client.ask(sent)
        assert answer.status == 431
        assert answer.headers["connection"] == "close"
        assert await client.ended() == b""
        client.close()
        await until(lambda: len(gateway.app.handshakes) == 0, "the socket to be gone")
        assert refused(gateway) == {"header_too_large": 1}
        assert gateway.hub.opened_total == 0


@on_loop
async def test_a_longer_head_over_tls(certificate: Certificate) -> None:
    files = {"ws_tls_cert": certificate.path, "ws_tls_key": certificate.key_path}
    async with local_gateway(ws_max_header_bytes=HEADER_BYTES_MAX, **files) as gateway:
        client = await TlsClient.secure(await gateway.dial(), certificate.trusted())
        assert (await client.ask(request_of(HEADER_BYTES_MAX + 1))).status == 431
        assert await client.ended() == b""
        assert refused(gateway) == {"header_too_large": 1}


# Handshakes


@on_loop
async def test_a_handshake_has_its_time() -> None:
    async with local_gateway(ws_handshake_timeout_s=0.05) as gateway:
        client = await gateway.dial()
        assert await client.ended() == b""
        assert gateway.app.handshakes.expired == 1


@on_loop
async def test_the_oldest_silent_socket_gives_way_to_a_newcomer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "SILENT_S", 0.0)
    async with local_gateway(ws_max_handshakes=3) as gateway:
        talking = await gateway.dial()
        await talking.send(request()[:10])
        await until(lambda: len(gateway.app.handshakes) == 1)
        silent = [await gateway.dial() for _ in range(2)]
        await until(lambda: len(gateway.app.handshakes) == 3)

        newcomer = await gateway.connect()
        assert await silent[0].ended() == b""
        assert await newcomer.settle() == []
        assert gateway.app.handshakes.shed == 1
        await talking.send(request()[10:])
        assert (await talking.answer()).status == 101
        assert (await silent[1].ask(request())).status == 101
        assert refused(gateway) == {}


@on_loop
async def test_silent_sockets_do_not_keep_a_client_out() -> None:
    limits = {"handshake_timeout_s": FOR_EVER_S}  # that is not what makes room
    async with local_gateway(ws_max_handshakes=50, limits=limits) as gateway:
        for _ in range(300):
            await gateway.dial()
        while not await is_upgraded(await gateway.dial()):
            await asyncio.sleep(0.02)
        assert len(gateway.app.handshakes) <= 50


@on_loop
async def test_who_began_and_does_not_finish_gives_way_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "SLOW_S", 0.0)
    async with local_gateway(ws_max_handshakes=1) as gateway:
        slow = await gateway.dial()
        await slow.send(b"GET")
        await until(lambda: len(gateway.app.handshakes) == 1)
        await gateway.connect()
        assert await slow.ended() == b""
        assert gateway.app.handshakes.shed == 1


@on_loop
async def test_while_nobody_had_his_chance_newcomers_are_asked_to_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "SILENT_S", FOR_EVER_S)
    monkeypatch.setattr(admission, "SLOW_S", FOR_EVER_S)
    async with local_gateway(ws_max_handshakes=1) as gateway:
        first = await gateway.dial()
        await until(lambda: len(gateway.app.handshakes) == 1)
        surplus = await gateway.dial()
        answer = await surplus.answer()
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) > 0
        assert await surplus.ended() == b""
        assert refused(gateway) == {"handshakes": 1}
        assert (await first.ask(request())).status == 101
        await gateway.connect()


@on_loop
async def test_over_tls_newcomers_are_closed(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "SILENT_S", FOR_EVER_S)
    monkeypatch.setattr(admission, "SLOW_S", FOR_EVER_S)
    files = {"ws_tls_cert": certificate.path, "ws_tls_key": certificate.key_path}
    async with local_gateway(ws_max_handshakes=1, **files) as gateway:
        await gateway.dial()
        await until(lambda: len(gateway.app.handshakes) == 1)
        assert await (await gateway.dial()).ended() == b""
        assert refused(gateway) == {"handshakes": 1}


@on_loop
async def test_new_sockets_have_a_rate() -> None:
    async with local_gateway(ws_max_handshakes_per_s=2) as gateway:
        await gateway.connect()
        await gateway.connect()
        answer = await (await gateway.dial()).answer()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert refused(gateway) == {"handshake_rate": 1}
        while not await is_upgraded(await gateway.dial()):
            await asyncio.sleep(0.02)
