"""The main job with nothing left out: a real NATS server, a real ``wsgate serve``, clients."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.client import Client, Ended, request
from tests.support.conversation import browser
from tests.support.loop import on_loop
from tests.support.nats import NatsServer, Publisher, nats_server
from tests.support.process import GatewayProcess, gateway_process, until

__all__ = ["gateway_process", "nats_server"]  # fixtures

NewGateway = Callable[..., GatewayProcess]

EVENT = "token.abc.comment"
STATE = "token.abc.update"


@on_loop
async def test_what_is_published_to_nats_reaches_who_subscribed(
    nats_server: NatsServer, gateway_process: NewGateway
) -> None:
    gateway = gateway_process(NATS_URL=nats_server.url).start()
    gateway.until_ready()
    with Publisher(nats_server) as publisher:
        async with browser(gateway.port) as client:
            reply = await client.subscribe("global.trending", STATE, "token.*.comment", id=1)
            assert reply["channels"][STATE]["seq"] == 0
            publisher.publish(STATE, b'{"price": "0.0123"}')
            publisher.flush()
            assert await client.message() == {
                "type": "token_update",
                "channel": STATE,
                "seq": 1,
                "prev": 0,
                "data": {"price": "0.0123"},
            }
            for number in range(1000):
                publisher.publish(EVENT, b"%d" % number)
            publisher.flush()
            received = await client.messages(1000)
            assert [one["data"] for one in received] == list(range(1000))
            async with browser(gateway.port) as late:
                await late.subscribe(STATE)
                assert (await late.message())["data"] == {"price": "0.0123"}
    metrics = gateway.metrics()
    assert metrics["ws_publications_total"] == 1001
    assert metrics["ws_messages_sent_total"] == 1002
    assert metrics["ws_connections_total"] == 2
    assert metrics['ws_feed_live{source="nats"}'] == 1
    assert gateway.stop() == 0
    assert gateway.errors == ""


@on_loop
async def test_any_path_and_a_browsers_headers(
    nats_server: NatsServer, gateway_process: NewGateway
) -> None:
    gateway = gateway_process(NATS_URL=nats_server.url).start()
    client = await Client.dial(gateway.port)
    headers = {
        "Host": "gateway.test",
        "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:60.0) Gecko/20100101 Firefox/60.0",
        "Origin": "https://page.test",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Extensions": "permessage-deflate",
        "Sec-WebSocket-Protocol": "wsgate.v1",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Connection": "keep-alive, Upgrade",
        "Pragma": "no-cache",
        "Upgrade": "websocket",
    }
    answer = await client.ask(request("/live/feed?x=1", headers))
    assert answer.status == 101
    assert answer.headers["sec-websocket-protocol"] == "wsgate.v1"
    client.close()


@on_loop
async def test_what_is_not_json_is_dropped_counted_and_logged_once(
    nats_server: NatsServer, gateway_process: NewGateway
) -> None:
    gateway = gateway_process(NATS_URL=nats_server.url).start()
    gateway.until_ready()
    with Publisher(nats_server) as publisher:
        async with browser(gateway.port) as client:
            await client.subscribe(EVENT)
            for _ in range(100):
                publisher.publish(EVENT, b"<secret>")
            publisher.publish("global.\xff\xfe".encode("latin-1"), b"1")
            publisher.publish(EVENT, b'"good"')
            publisher.flush()
            assert (await client.message())["data"] == "good"
    assert gateway.metric('ws_publications_refused_total{reason="not_json"}') == 100
    refusals = [event for event in gateway.log if event["event"] == "publication refused"]
    assert [event["reason"] for event in refusals].count("not_json") == 1
    assert "secret" not in json.dumps(gateway.log)


@on_loop
async def test_a_gateway_starts_without_nats_and_finds_it_later(
    gateway_process: NewGateway, tmp_path: Path
) -> None:
    server = NatsServer(tmp_path / "nats")
    gateway = gateway_process(NATS_URL=server.url).start()
    status, body = gateway.get("/readyz")
    assert status == 503 and json.loads(body)["not_ready"] == ["nats: not connected"]
    assert gateway.get("/healthz")[0] == 200
    try:
        async with browser(gateway.port) as client:
            assert await client.message() == {"type": "feed", "state": "stale"}
            await client.subscribe(EVENT)
            server.start()
            assert await client.message() == {"type": "feed", "state": "live"}
            assert (await client.message())["type"] == "gap", "it was there before the source"
            gateway.until_ready()
            with Publisher(server) as publisher:
                publisher.publish(EVENT, b"1")
                publisher.flush()
                assert (await client.message())["data"] == 1
    finally:
        server.kill()


# Starts that fail


@pytest.mark.parametrize("setting", ["WS_PORT", "WS_ADMIN_PORT"])
def test_a_port_that_is_taken_is_named(gateway_process: NewGateway, setting: str) -> None:
    first = gateway_process().start()
    port = first.port if setting == "WS_PORT" else first.admin_port
    second = gateway_process(**{setting: port})
    second.launch()
    assert second.wait() == 1
    [line] = second.errors.splitlines()
    assert f"127.0.0.1:{port}" in line and setting in line and "in use" in line
    assert first.get("/healthz")[0] == 200


def test_wrong_settings_are_all_named_with_what_is_allowed(gateway_process: NewGateway) -> None:
    gateway = gateway_process(WS_PORT="eighty", LOG_LEVEL="loud", NATS_URL="http://x", WS_AUTH="x")
    gateway.launch()
    assert gateway.wait() == 2
    for name, value, allowed in [
        ("WS_PORT", "'eighty'", "0 to 65535"),
        ("LOG_LEVEL", "'loud'", "debug, info, warning or error"),
        ("NATS_URL", "'http://x'", "nats://host:port"),
        ("WS_AUTH", "'x'", "none or jwt"),
    ]:
        [line] = [line for line in gateway.errors.splitlines() if f"{name}:" in line]
        assert value in line and allowed in line
    assert "Traceback" not in gateway.errors


def test_a_gateway_that_failed_leaves_its_ports_free(gateway_process: NewGateway) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        failing = gateway_process(WS_ADMIN_PORT=port)
        failing.launch()
        assert failing.wait() == 1
    working = gateway_process(WS_ADMIN_PORT=port).start()
    assert working.admin_port == port


# Out of descriptors


@on_loop
async def test_a_gateway_without_descriptors_survives_and_accepts_again(
    nats_server: NatsServer, gateway_process: NewGateway
) -> None:
    """Whoever is connected is served all the while; whoever comes is not kept waiting for ever."""
    gateway = gateway_process(NATS_URL=nats_server.url, descriptors=48).start()
    gateway.until_ready()
    with ExitStack() as stack, Publisher(nats_server) as publisher:
        early = await Client.connect(gateway.port)
        stack.callback(early.close)
        await early.subscribe(EVENT)
        admitted = []
        for number in range(200):
            client = await Client.dial(gateway.port)
            try:
                assert (await client.ask(request())).status == 101
            except (Ended, OSError):
                client.close()
            else:
                stack.callback(client.close)
                admitted.append(client)
            publisher.publish(EVENT, b"%d" % number)
            publisher.flush()
            assert (await early.message())["data"] == number
        assert 10 < len(admitted) < 48
        for client in admitted:
            client.close()
        async with asyncio.timeout(20):
            while True:
                client = await Client.dial(gateway.port)
                stack.callback(client.close)
                try:
                    if (await client.ask(request())).status == 101:
                        break
                except (Ended, OSError):
                    await asyncio.sleep(0.01)
        await client.subscribe(EVENT)
        publisher.publish(EVENT, b'"again"')
        publisher.flush()
        for one in (early, client):
            assert (await one.message())["data"] == "again"
    until(lambda: gateway.metric("ws_connections_current") == 0, "all to be gone")
    assert gateway.stop() == 0
