"""What each limit does to whoever is past it, and that it does nothing to anybody else."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Certificate
from tests.support.client import UPGRADE, Client, Ended, request
from tests.support.feed import until
from tests.support.frames import CONTINUATION, PING, PONG, TEXT, command, frame
from tests.support.gateway import LocalGateway, local_gateway
from tests.support.loop import on_loop
from tests.support.process import GatewayProcess, gateway_process
from tests.support.tls_client import TlsClient
from wsgate.edge import admission
from wsgate.limits import EVENTS_BYTES_MIN
from wsgate.metrics.connections import HANDSHAKE_REFUSALS
from wsgate.protocol import CloseCode

__all__ = ["gateway_process"]  # a fixture

HEADER_BYTES_MAX = 2048
FOR_EVER_S = 1e9
TOO_MANY = CloseCode.TOO_MANY_COMMANDS


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return Certificate(tmp_path)


def refused(gateway: LocalGateway) -> dict[str, int]:
    """All that were refused, by reason, each of which metrics know from the start."""
    counts = {**gateway.app.handshakes.refused, **gateway.app.upgrade.refused}
    assert set(counts) <= set(HANDSHAKE_REFUSALS)
    return {reason: count for reason, count in counts.items() if count}


def request_of(size: int) -> bytes:
    """An upgrade request whose head, with the empty line, has that many bytes."""
    filler = size - len(request(headers=UPGRADE | {"X-Filler": ""}))
    made = request(headers=UPGRADE | {"X-Filler": "x" * filler})
    assert len(made) == size
    return made


async def is_upgraded(client: Client) -> bool:
    try:
        return (await client.ask(request())).status == 101
    except (Ended, OSError):
        return False


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
