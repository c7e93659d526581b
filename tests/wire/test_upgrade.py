"""The HTTP side of the clients' port: who is upgraded, who is refused and how."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests.support.client import UPGRADE, Ended, request
from tests.support.feed import until
from tests.support.frames import command
from tests.support.gateway import LocalGateway, local_gateway
from tests.support.loop import on_loop

HEADER_BYTES_MAX = 16 * 1024


def without(*names: str) -> dict[str, str]:
    return {name: value for name, value in UPGRADE.items() if name not in names}


async def works(gateway: LocalGateway) -> None:
    """The gateway still does what it is for."""
    client = await gateway.subscriber("global.news")
    gateway.publish("global.news", "still here")
    assert (await client.message())["data"] == "still here"


# Who is upgraded


@on_loop
async def test_an_independent_client_is_upgraded() -> None:
    async with (
        local_gateway() as gateway,
        connect(f"ws://127.0.0.1:{gateway.port}/", proxy=None) as client,
    ):
        await client.send('{"type":"ping","id":1}')
        assert json.loads(await client.recv()) == {"type": "pong", "id": 1}
        assert client.subprotocol is None


@pytest.mark.parametrize(
    "path", ["/", "/ws", "/a/b/c?d=e&f", "/?auth=x", "/%F0%9F%90%8D", "/healthz"]
)
@on_loop
async def test_any_path_will_do(path: str) -> None:
    async with local_gateway() as gateway:
        client = await gateway.dial()
        assert (await client.ask(request(path))).status == 101
        assert await client.settle() == []


@pytest.mark.parametrize(
    "value",
    [
        "Upgrade",
        "upgrade",
        "keep-alive, Upgrade",
        "Upgrade, keep-alive",
        "keep-alive,UPGRADE",
        "  keep-alive ,\tupgrade , x ",
    ],
)
@on_loop
async def test_connection_header_may_be_a_list(value: str) -> None:
    """Older Firefox versions and several proxies send one."""
    async with local_gateway() as gateway:
        client = await gateway.dial()
        assert (await client.ask(request(headers=UPGRADE | {"Connection": value}))).status == 101


@on_loop
async def test_connection_header_may_have_several_lines() -> None:
    async with local_gateway() as gateway:
        client = await gateway.dial()
        text = request(headers=without("Connection"))
        text = text[:-2] + b"Connection: keep-alive\r\nConnection: Upgrade\r\n\r\n"
        assert (await client.ask(text)).status == 101


@on_loop
async def test_names_and_values_in_any_case() -> None:
    async with local_gateway() as gateway:
        client = await gateway.dial()
        headers = {name.upper(): value for name, value in UPGRADE.items()}
        headers["UPGRADE"] = "WebSocket"
        assert (await client.ask(request(headers=headers))).status == 101


@on_loop
async def test_commands_may_come_in_the_same_packet_as_the_request() -> None:
    async with local_gateway() as gateway:
        client = await gateway.dial()
        await client.send(request() + command("ping", id=1) + command("ping", id=2))
        assert (await client.answer()).status == 101
        assert await client.messages(2) == [{"type": "pong", "id": 1}, {"type": "pong", "id": 2}]


@on_loop
async def test_a_request_byte_by_byte() -> None:
    async with local_gateway() as gateway:
        client = await gateway.dial()
        for byte in request():
            await client.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await client.answer()).status == 101
        assert await client.settle() == []


# Subprotocols


@pytest.mark.parametrize(
    ("offers", "selected"),
    [
        (["wsgate.v1"], "wsgate.v1"),
        (["other", "wsgate.v1"], "wsgate.v1"),
        (["wsgate.v1", "wsgate.auth.eyJh"], "wsgate.v1"),
        (["wsgate.delta.v1", "wsgate.v1"], "wsgate.delta.v1"),
        (["wsgate.v1", "wsgate.delta.v1"], "wsgate.v1"),
        (["wsgate.delta.v1", "wsgate.auth.eyJh"], "wsgate.delta.v1"),
        (["other"], None),
        (["wsgate.auth.eyJh"], None),
        (["wsgate.v2", "WSGATE.V1", "wsgate.v11"], None),
    ],
)
@on_loop
async def test_the_subprotocol_is_selected_if_offered(
    offers: list[str], selected: str | None
) -> None:
    async with local_gateway() as gateway:
        in_one_line = await gateway.dial()
        offer = {"Sec-WebSocket-Protocol": ", ".join(offers)}
        answer = await in_one_line.ask(request(headers=UPGRADE | offer))
        assert answer.status == 101
        assert answer.headers.get("sec-websocket-protocol") == selected
        assert await in_one_line.settle() == []

        in_several_lines = await gateway.dial()
        lines = "".join(f"Sec-WebSocket-Protocol: {offer}\r\n" for offer in offers)
        answer = await in_several_lines.ask(request()[:-2] + lines.encode() + b"\r\n")
        assert answer.status == 101
        assert answer.headers.get("sec-websocket-protocol") == selected


@on_loop
async def test_an_independent_client_agrees_on_the_subprotocol() -> None:
    offers = [Subprotocol("wsgate.v9"), Subprotocol("wsgate.v1")]
    async with (
        local_gateway() as gateway,
        connect(f"ws://127.0.0.1:{gateway.port}", subprotocols=offers, proxy=None) as client,
    ):
        assert client.subprotocol == "wsgate.v1"


@pytest.mark.parametrize(
    ("offer", "enabled", "agreed"),
    [
        ("permessage-deflate; client_max_window_bits", True, True),
        ("permessage-deflate; client_max_window_bits", False, False),
        ("permessage-bzip2", True, False),
        ("permessage-deflate; server_max_window_bits=7", True, False),
    ],
)
@on_loop
async def test_the_one_extension_there_is(offer: str, enabled: bool, agreed: bool) -> None:
    async with local_gateway(ws_deflate=enabled) as gateway:
        client = await gateway.dial()
        answer = await client.ask(request(headers=UPGRADE | {"Sec-WebSocket-Extensions": offer}))
        assert answer.status == 101
        response = answer.headers.get("sec-websocket-extensions")
        assert (response is not None) == agreed
        if response is not None:
            assert response == (
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
            )


@on_loop
async def test_deltas_can_be_turned_off() -> None:
    async with local_gateway(ws_delta=False) as gateway:
        for offer, selected in (
            ("wsgate.delta.v1, wsgate.v1", "wsgate.v1"),
            ("wsgate.delta.v1", None),
        ):
            client = await gateway.dial()
            headers = UPGRADE | {"Sec-WebSocket-Protocol": offer}
            answer = await client.ask(request(headers=headers))
            assert answer.headers.get("sec-websocket-protocol") == selected


@pytest.mark.parametrize(("first", "agreed"), [("wsgate.delta.v1", False), ("wsgate.v1", True)])
@on_loop
async def test_what_is_deflated_already_is_not_deflated_again(first: str, agreed: bool) -> None:
    async with local_gateway() as gateway:
        client = await gateway.dial()
        headers = {
            "Sec-WebSocket-Protocol": f"{first}, wsgate.delta.v1, wsgate.v1",
            "Sec-WebSocket-Extensions": "permessage-deflate",
        }
        answer = await client.ask(request(headers=UPGRADE | headers))
        assert answer.headers["sec-websocket-protocol"] == first
        assert ("sec-websocket-extensions" in answer.headers) == agreed


# Who is refused


@on_loop
async def test_a_plain_get_is_told_to_upgrade() -> None:
    async with local_gateway() as gateway:
        client = await gateway.dial()
        answer = await client.ask(b"GET /index.html HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.status == 426
        assert answer.headers["upgrade"] == "websocket"
        assert answer.headers["connection"] == "close"
        assert b"WebSocket" in answer.body
        assert await client.ended() == b""
        assert gateway.app.upgrade.refused == {"not_a_websocket": 1}


@on_loop
async def test_health_on_the_clients_port() -> None:
    async def get(path: str) -> tuple[int, bytes]:
        client = await gateway.dial()
        answer = await client.ask(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert await client.ended() == b""
        return answer.status, answer.body

    async with local_gateway(ws_max_connections=1) as gateway:
        assert await get("/healthz") == (200, b"ok\n")
        assert await get("/readyz?probe=1") == (200, b"ready\n")

        await gateway.source.stop()
        status, body = await get("/readyz")
        assert status == 503
        assert json.loads(body) == {"not_ready": ["local: not connected"]}
        assert await get("/healthz") == (200, b"ok\n")

        await gateway.source.start()
        await gateway.connect()
        status, body = await get("/readyz")
        assert status == 503 and b"WS_MAX_CONNECTIONS" in body


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("host", ["", "Host: x\r\n"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("path", ["/healthz", "/readyz?probe=1"])
@on_loop
async def test_health_as_load_balancers_ask_for_it(
    path: str, version: str, host: str, size: int
) -> None:
    async def ask(method: str) -> bytes:
        client = await gateway.dial()
        text = f"{method} {path} HTTP/{version}\r\n{host}\r\n".encode()
        for start in range(0, len(text), size):
            await client.send(text[start : start + size])
            await asyncio.sleep(0)
        answer = await client.ended()
        client.close()
        return answer

    async with local_gateway() as gateway:
        for status in (b"200", b"503"):
            head, end, body = (await ask("GET")).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 " + status)
            assert b"\r\nContent-Length: %d" % len(body) in head and body
            assert await ask("HEAD") == head + end
            if path == "/healthz":
                break
            await gateway.source.stop()
        assert gateway.app.upgrade.refused == {}
        await until(lambda: len(gateway.app.handshakes) == 0, "who asked to be gone")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(request().replace(b"HTTP/1.1", b"HTTP/1.0"), id="HTTP 1.0"),
        pytest.param(request().replace(b"GET", b"HEAD"), id="HEAD"),
        pytest.param(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", id="HEAD without an upgrade"),
        pytest.param(b"HEAD /healthz HTTP/1.2\r\nHost: x\r\n\r\n", id="another version"),
        pytest.param(b"HEAD /healthz HTTP/1.1\r\nHost : x\r\n\r\n", id="malformed"),
        pytest.param(b"HEAD  /healthz HTTP/1.0\r\n\r\n", id="four words"),
        pytest.param(b"GET /healthz HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello", id="body"),
        pytest.param(b"OPTIONS /healthz HTTP/1.0\r\n\r\n", id="OPTIONS"),
        pytest.param(b"GET /healthz HTTP/1.0\r\n\xff\xfe: \xff\r\n\r\n", id="strange bytes"),
    ],
)
@on_loop
async def test_nothing_else_is_there_for_them(text: bytes) -> None:
    async with local_gateway() as gateway:
        client = await gateway.dial()
        await client.send(text)
        assert (await client.ended()).startswith(b"HTTP/1.1 400 ")
        await works(gateway)
        assert gateway.hub.opened_total == 1


@on_loop
async def test_one_client_too_many_is_asked_to_come_back() -> None:
    async with local_gateway(ws_max_connections=2) as gateway:
        first = await gateway.connect()
        await gateway.connect()
        refused = await gateway.dial()
        answer = await refused.ask(request())
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) > 0
        assert await refused.ended() == b""
        assert gateway.app.upgrade.refused == {"capacity": 1}

        first.close()
        await until(lambda: len(gateway.hub) == 1, "the first to be gone")
        await works(gateway)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"\r\n\r\n", id="nothing"),
        pytest.param(b"GET /\r\n\r\n", id="no version"),
        pytest.param(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n", id="HTTP 1.0"),
        pytest.param(b"GET  HTTP/1.1\r\nHost: x\r\n\r\n", id="no target"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", id="POST"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", id="TLS"),
        pytest.param(b"GET / HTTP/1.1\r\nHost x\r\n\r\n", id="no colon"),
        pytest.param(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", id="space before colon"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n y\r\n\r\n", id="folded"),
        pytest.param(b"GET / HTTP/1.1\r\nHo\x00st: x\r\n\r\n", id="NUL in a name"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\x00\r\n\r\n", id="NUL in a value"),
        pytest.param(b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", id="body"),
        pytest.param(
            b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="chunked"
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(200)) + b"\r\n",
            id="many headers",
        ),
        pytest.param(request(headers=without("Connection")), id="no Connection"),
        pytest.param(request(headers=UPGRADE | {"Connection": "close"}), id="Connection: close"),
        pytest.param(request(headers=UPGRADE | {"Upgrade": "h2c"}), id="another upgrade"),
        pytest.param(request(headers=without("Sec-WebSocket-Key")), id="no key"),
        pytest.param(request(headers=UPGRADE | {"Sec-WebSocket-Key": "short"}), id="short key"),
        pytest.param(
            request(headers=UPGRADE | {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZ\xe4=="}),
            id="key of strange bytes",
        ),
        pytest.param(request(headers=without("Sec-WebSocket-Version")), id="no version header"),
        pytest.param(request(headers=UPGRADE | {"Sec-WebSocket-Version": "14"}), id="version 14"),
    ],
)
@on_loop
async def test_a_malformed_request_is_refused(text: bytes) -> None:
    async with local_gateway() as gateway:
        client = await gateway.dial()
        answer = await client.ask(text)
        assert answer.status == 400
        await client.ended()
        await works(gateway)
        assert len(gateway.hub) == 1


@on_loop
async def test_strange_bytes_where_they_do_not_matter() -> None:
    async with local_gateway() as gateway:
        client = await gateway.dial()
        strange = {"X-Name": "\xfc\xff", "Sec-WebSocket-Protocol": "\xe9, wsgate.v1"}
        answer = await client.ask(request(headers=UPGRADE | strange))
        assert answer.status == 101
        assert answer.headers["sec-websocket-protocol"] == "wsgate.v1"


@pytest.mark.parametrize("complete", [True, False])
@on_loop
async def test_a_header_that_is_too_large_is_cut_off(complete: bool) -> None:
    async with local_gateway() as gateway:
        client = await gateway.dial()
        headers = UPGRADE | {"X-Large": "x" * HEADER_BYTES_MAX}
        text = request(headers=headers)
        await client.send(text if complete else text[:-2])
        assert not (await client.ended()).startswith(b"HTTP/1.1 101")
        await works(gateway)


@pytest.mark.parametrize("said", [b"", b"GET / HT", request()[:-1]])
@on_loop
async def test_a_slow_handshake_is_cut_off(said: bytes) -> None:
    async with local_gateway(limits={"handshake_timeout_s": 0.05}) as gateway:
        client = await gateway.dial()
        await client.send(said)
        assert await client.ended() == b""
        await works(gateway)


@on_loop
async def test_the_handshake_timeout_ends_with_the_handshake() -> None:
    async with local_gateway(limits={"handshake_timeout_s": 0.05}) as gateway:
        upgraded = await gateway.connect()
        late = await gateway.dial()
        assert await late.ended() == b""
        # By now the one who came earlier would have been cut off as well.
        assert await upgraded.settle() == []


@on_loop
async def test_a_client_that_leaves_within_the_handshake() -> None:
    async with local_gateway() as gateway:
        for size in (0, 1, 20, len(request()) - 1, len(request())):
            for leave in ("close", "cut"):
                client = await gateway.dial()
                await client.send(request()[:size])
                getattr(client, leave)()
        await works(gateway)
        await until(lambda: len(gateway.hub) == 1, "the others to be gone")


@on_loop
async def test_requests_after_the_first_are_not_answered() -> None:
    """A refused request ends the connection: nothing can be smuggled behind it."""
    async with local_gateway() as gateway:
        client = await gateway.dial()
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + request())
        try:
            assert (await client.answer()).status == 426
            assert await client.ended() == b""
        except Ended:
            pass  # the kernel says RST where something was left unread
        await works(gateway)
        assert gateway.hub.opened_total == 1
