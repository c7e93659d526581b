"""What TLS adds: who is let in, how certificates are renewed, and what the transport may hold."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiofastnet.openssl_compat import OPENSSL_DYN_LIBS
from websockets.asyncio.client import connect

from tests.support.certificates import Certificate
from tests.support.client import Client, Ended, request
from tests.support.feed import until
from tests.support.gateway import LocalGateway, local_gateway, worker
from tests.support.loop import on_loop
from tests.support.tls_client import TlsClient
from wsgate.edge import handshake
from wsgate.edge import tls as tls_module
from wsgate.edge.handshake import EncryptedTransport
from wsgate.edge.sink import ENCRYPTED_WRITE_BYTES
from wsgate.settings import Settings

EVENT = "token.abc.comment"
STATE = "token.abc.update"
RECORD_BYTES_MAX = 16384  # RFC 8446 5.1
RECORD_OVERHEAD_BYTES = 22  # TLS 1.3: header, content type, tag


@asynccontextmanager
async def tls_gateway(certificate: Certificate, **options: Any) -> AsyncIterator[LocalGateway]:
    async with local_gateway(
        ws_tls_cert=certificate.path, ws_tls_key=certificate.key_path, **options
    ) as gateway:
        yield gateway


async def secure(
    gateway: LocalGateway,
    context: ssl.SSLContext,
    session: ssl.SSLSession | None = None,
    **options: Any,
) -> TlsClient:
    """A client that TLS is agreed on with, and nothing else."""
    return await TlsClient.secure(await gateway.dial(**options), context, session)


async def upgraded(
    gateway: LocalGateway,
    context: ssl.SSLContext,
    session: ssl.SSLSession | None = None,
    **options: Any,
) -> TlsClient:
    client = await secure(gateway, context, session, **options)
    assert (await client.ask(request())).status == 101
    return client


async def follows(gateway: LocalGateway, client: Client, data: Any) -> None:
    """The client is subscribed, and gets what is published now."""
    gateway.publish(EVENT, data)
    assert (await client.message())["data"] == data


def held() -> int:
    """Bytes in the transport of the only connection there is."""
    (transport,) = (one for one in gc.get_objects() if isinstance(one, EncryptedTransport))
    return int(transport.get_write_buffer_size())


# What it starts with


@on_loop
async def test_it_does_not_start_with_a_key_that_does_not_fit(tmp_path: Path) -> None:
    """The settings were good: the key was replaced since."""
    own = Certificate(tmp_path)
    settings = Settings(ws_port=0, ws_tls_cert=own.path, ws_tls_key=own.key_path)
    Certificate(tmp_path, "other").write(tmp_path / "unused.pem", own.key_path)
    with pytest.raises(OSError, match=r"WS_TLS_KEY: .* does not belong to"):
        await worker(settings).start()


@on_loop
async def test_it_does_not_start_where_openssl_is_out_of_reach(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshake, "OPENSSL_DYN_LIBS", None)
    files = {"ws_tls_cert": certificate.path, "ws_tls_key": certificate.key_path}
    with pytest.raises(OSError, match=r"WS_TLS_CERT: .* shared library"):
        await worker(Settings(ws_port=0, ws_admin_port=0, **files)).start()


# Who is let in


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@on_loop
async def test_what_is_agreed_on(certificate: Certificate, version: ssl.TLSVersion) -> None:
    context = certificate.trusted()
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with tls_gateway(certificate) as gateway:
        client = await upgraded(gateway, context)
        assert client.tls.version() == version.name.replace("_", ".")
        assert client.tls.selected_alpn_protocol() == "http/1.1"
        assert client.tls.compression() is None
        await client.subscribe(EVENT)
        await follows(gateway, client, "through TLS")
        assert (await client.close_properly()).close_code == 1000
        assert client.notified, "not cut off: close_notify came first"


@on_loop
async def test_an_independent_client(certificate: Certificate) -> None:
    async with tls_gateway(certificate) as gateway:
        url = f"wss://127.0.0.1:{gateway.port}/"
        async with connect(url, ssl=certificate.trusted(), proxy=None) as client:
            await client.send('{"type":"ping","id":1}')
            assert json.loads(await client.recv()) == {"type": "pong", "id": 1}
            stop = gateway.stop()
            await client.wait_closed()
            assert (client.close_code, client.close_reason) == (1012, "service_restart")
        await stop


@on_loop
async def test_health_with_head_and_http_1_0(certificate: Certificate) -> None:
    async with tls_gateway(certificate) as gateway:
        client = await secure(gateway, certificate.trusted())
        # In records of their own, so that some come when it is answered already.
        for line in (b"HEAD /readyz HTTP/1.0\r\n", b"\r\n", b"HEAD /readyz HTTP/1.0\r\n\r\n"):
            client.tls.write(line)
        await client.flush()
        answer = await client.ended()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\nContent-Length: 6\r\n" in answer
        assert answer.index(b"\r\n\r\n") == len(answer) - 4, "no body, and no second answer"


OLD = pytest.param("old", id="TLS 1.1")
WEAK = pytest.param("weak", id="no forward secrecy")


@pytest.mark.parametrize("kind", [OLD, WEAK])
@pytest.mark.filterwarnings("ignore:.*TLSv?1.1.*:DeprecationWarning")
@on_loop
async def test_whoever_speaks_nothing_better_is_refused(
    certificate: Certificate, kind: str
) -> None:
    context = certificate.trusted()
    if kind == "old":
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    else:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("AES128-GCM-SHA256")
    async with tls_gateway(certificate) as gateway:
        with pytest.raises((Ended, ssl.SSLError)):
            await secure(gateway, context)
        await until(lambda: gateway.app.handshakes.tls_failed == 1)
        assert len(gateway.app.handshakes) == 0


@pytest.mark.parametrize("said", [request(), b"GET / HTTP/1.1\r\n", b"\x00" * 100, b"x" * 9000])
@on_loop
async def test_plain_text_is_ended_and_counted(certificate: Certificate, said: bytes) -> None:
    async with tls_gateway(certificate) as gateway:
        client = await gateway.dial()
        await client.send(said)
        await client.ended()
        await until(lambda: gateway.app.handshakes.tls_failed == 1)
        assert len(gateway.app.handshakes) == 0


# The handshake takes bounded time


def hello(certificate: Certificate) -> bytes:
    """How a client begins."""
    outgoing = ssl.MemoryBIO()
    begun = certificate.trusted().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="127.0.0.1")
    with pytest.raises(ssl.SSLWantReadError):
        begun.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("part", ["nothing", "half a hello", "a hello"])
@on_loop
async def test_a_tls_handshake_that_does_not_go_on_is_cut_off(
    certificate: Certificate, part: str
) -> None:
    whole = hello(certificate)
    said = {"nothing": b"", "half a hello": whole[:100], "a hello": whole}[part]
    async with tls_gateway(certificate, limits={"handshake_timeout_s": 0.05}) as gateway:
        client = await gateway.dial()
        await client.send(said)
        await client.ended()
        assert gateway.app.handshakes.expired == 1
        assert gateway.app.handshakes.tls_failed == 0, "counted once"
        assert len(gateway.app.handshakes) == 0


@on_loop
async def test_tls_and_the_request_share_one_timeout(certificate: Certificate) -> None:
    """Who has done TLS and goes no further is cut off before one who came after him."""
    async with tls_gateway(certificate, limits={"handshake_timeout_s": 1.0}) as gateway:
        client = await gateway.dial()
        await until(lambda: len(gateway.app.handshakes) == 1)
        await asyncio.sleep(0.1)  # the times are told apart by milliseconds
        later = await gateway.dial()
        await until(lambda: len(gateway.app.handshakes) == 2)
        await asyncio.sleep(0.1)
        secured = await TlsClient.secure(client, certificate.trusted())
        ended: list[Client] = []

        async def note_end(of: Client) -> None:
            await of.ended()
            ended.append(of)

        await asyncio.gather(note_end(later), note_end(secured))
        assert ended == [secured, later]
        assert gateway.app.handshakes.expired == 2


@pytest.mark.parametrize("leave", ["close", "cut"])
@pytest.mark.parametrize("part", [0, 100, None])
@on_loop
async def test_a_client_that_leaves_within_the_tls_handshake(
    certificate: Certificate, leave: str, part: int | None
) -> None:
    """As health checks do that only connect: no trouble is reported."""
    async with tls_gateway(certificate) as gateway:
        client = await gateway.dial()
        await until(lambda: len(gateway.app.handshakes) == 1)
        await client.send(hello(certificate)[:part])
        getattr(client, leave)()
        await until(lambda: gateway.app.handshakes.tls_failed == 1)
        assert len(gateway.app.handshakes) == 0


@on_loop
async def test_the_stop_ends_tls_handshakes_under_way(certificate: Certificate) -> None:
    async with tls_gateway(certificate) as gateway:
        client = await gateway.dial()
        await client.send(hello(certificate)[:100])
        await until(lambda: len(gateway.app.handshakes) == 1)
        await gateway.stop()
        assert await client.ended() == b""


# Renewal


@on_loop
async def test_a_renewed_certificate_is_for_those_who_come_later(
    certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_module, "CHECK_INTERVAL_S", 0.02)
    renewed = Certificate(tmp_path, "renewed")
    async with tls_gateway(certificate) as gateway:
        tls = gateway.app.tls
        assert tls is not None
        before = await upgraded(gateway, certificate.trusted())
        await before.subscribe(EVENT)

        first = certificate.trusted()
        renewed.write(certificate.path, certificate.key_path)
        await until(lambda: tls.reloads > 0)
        with pytest.raises(ssl.SSLCertVerificationError):
            await secure(gateway, first)
        after = await upgraded(gateway, renewed.trusted())
        assert after.tls.getpeercert(binary_form=True) == renewed.der
        await after.subscribe(EVENT)
        await follows(gateway, before, "still connected")
        assert (await after.message())["data"] == "still connected"


@on_loop
async def test_a_broken_certificate_harms_nobody(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_module, "CHECK_INTERVAL_S", 0.02)
    context = certificate.trusted()
    async with tls_gateway(certificate) as gateway:
        tls = gateway.app.tls
        assert tls is not None
        certificate.key_path.write_text("broken")
        await until(lambda: tls.failures == 1)
        client = await upgraded(gateway, context)
        await client.subscribe(EVENT)
        await follows(gateway, client, "under the old one")
        assert tls.reloads == 0


# Resumption


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@on_loop
async def test_who_comes_back_resumes(certificate: Certificate, version: ssl.TLSVersion) -> None:
    context = certificate.trusted()
    context.minimum_version = context.maximum_version = version
    async with tls_gateway(certificate) as gateway:
        client = await upgraded(gateway, context)
        assert not client.tls.session_reused
        await client.settle()
        session = client.tls.session
        assert session is not None and session.has_ticket
        await client.close_properly()

        back = await upgraded(gateway, context, session)
        assert back.tls.session_reused
        await back.subscribe(EVENT)
        await follows(gateway, back, "resumed")

        another = await upgraded(gateway, context)
        assert not another.tls.session_reused


# What the transport may hold


@pytest.mark.parametrize("payload_bytes", [100, 1000, 16_000, 100_000])
@on_loop
async def test_the_transport_holds_one_write_or_one_frame(
    certificate: Certificate, payload_bytes: int
) -> None:
    """All else stays in the outbox. A client that reads again gets every event."""
    frame_bytes = payload_bytes + 200
    records = frame_bytes // RECORD_BYTES_MAX + 1
    most_bytes = max(ENCRYPTED_WRITE_BYTES, frame_bytes) + records * RECORD_OVERHEAD_BYTES
    async with tls_gateway(certificate) as gateway:
        client = await upgraded(gateway, certificate.trusted(), receive_buffer=4096)
        await client.subscribe(EVENT, STATE)
        most = published = blocked = 0
        while blocked < 8:
            # Together: what is owed at once is more than one write.
            for _ in range(max(1, 32_000 // payload_bytes)):
                gateway.publish(EVENT, "x" * payload_bytes)
                published += 1
            gateway.publish(STATE, published)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            most = max(most, held())
            blocked += gateway.core.delivery.backlog()["blocked_connections"]
        assert 0 < most <= most_bytes
        states: list[int] = []
        events = 0
        while events < published or published not in states:
            message = await client.message()
            if message["channel"] == EVENT:
                events += 1
                assert message["seq"] == events, "none is missing, none comes twice"
            else:
                states.append(message["data"])
        assert states == sorted(set(states))
        assert await client.settle() == []
        assert held() == 0


@on_loop
async def test_who_makes_tls_answer_and_does_not_read_is_cut_off(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Key updates: no byte of them reaches anybody who could bound what is owed for them."""
    monkeypatch.setattr(handshake, "HELD_BYTES_MAX", 64 * 1024)
    async with tls_gateway(certificate) as gateway:
        client = await upgraded(gateway, certificate.trusted(), receive_buffer=4096)
        ask = KeyUpdates(client.tls)
        while len(gateway.hub):
            assert held() <= handshake.HELD_BYTES_MAX
            for _ in range(100):
                ask()
            with suppress(OSError):  # cut off already
                await asyncio.wait_for(client.flush(), 10)
            await asyncio.sleep(0)


class KeyUpdates:
    """Asks a TLS connection for new keys of both sides, which Python has no call for."""

    def __init__(self, tls: ssl.SSLObject) -> None:
        self._libssl = ctypes.CDLL(OPENSSL_DYN_LIBS.libssl)
        # After the head of the object and the socket comes OpenSSL's own pointer.
        at = id(tls._sslobj) + object.__basicsize__ + ctypes.sizeof(ctypes.c_void_p)
        self._ssl = ctypes.c_void_p.from_address(at)

    def __call__(self) -> None:
        assert self._libssl.SSL_key_update(self._ssl, 1) == 1
        assert self._libssl.SSL_do_handshake(self._ssl) == 1
