"""POST /publish: to NATS, with all that can be wrong with one, and to the workers without."""

from __future__ import annotations

import asyncio
import io
import json
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.client import Client
from tests.support.fake_nats import FakeNats, Peer
from tests.support.feed import RecordingFeed, until
from tests.support.loop import on_loop
from tests.support.nats import NatsServer, nats_server
from tests.support.process import GatewayProcess, gateway_process
from wsgate.rules import DEFAULT_RULES
from wsgate.sources.nats import NatsSource
from wsgate.sources.nats_limits import NatsLimits
from wsgate.sources.nats_publisher import UNCONFIRMED, NatsAway, NatsPublisher
from wsgate.supervisor.publishing import AT_ONCE_MAX

__all__ = ["gateway_process", "nats_server"]

NewGateway = Callable[..., GatewayProcess]

TOKEN = "token-of-who-publishes-XYZZY"
STATE, EVENT = "token.a.update", "token.a.comment"
QUICK = NatsLimits(
    heartbeat_interval_s=0.1,
    heartbeat_timeout_s=0.5,
    backoff_base_s=0.01,
    backoff_cap_s=0.02,
)
NO_COMMENTS = """authorization { users: [
    {user: gateway, password: p, permissions: {publish: {deny: "token.*.comment"}}}
] }"""


# --------------------------------------------------------------------------- the publisher alone


@asynccontextmanager
async def publishing(*servers: str, **options: Any) -> AsyncIterator[NatsPublisher]:
    publisher = NatsPublisher(servers, limits=QUICK, random=random.Random(1), **options)
    await publisher.start()
    try:
        yield publisher
    finally:
        await publisher.stop()


@asynccontextmanager
async def listening(server: NatsServer) -> AsyncIterator[RecordingFeed]:
    feed = RecordingFeed()
    source = NatsSource(feed, [server.url], [">"])
    await source.start()
    await feed.until_events(("live", "nats"))
    yield feed
    await source.stop()


@on_loop
async def test_what_is_published_is_confirmed_and_in_order(nats_server: NatsServer) -> None:
    async with listening(nats_server) as feed, publishing(nats_server.url) as publisher:
        with pytest.raises(NatsAway):
            await publisher.publish([(STATE, b"0")])
        await until(lambda: publisher.connected, "a connection")
        many = [(STATE, b"%d" % number) for number in range(1000)]
        together = [publisher.publish(many[start : start + 100]) for start in range(0, 1000, 100)]
        assert await asyncio.gather(*together) == [{}] * 10
        await feed.until(lambda: len(feed.messages) == 1000)
        assert feed.messages == many


@on_loop
async def test_it_comes_back_from_an_outage(nats_server: NatsServer) -> None:
    async with publishing("nats://127.0.0.1:1", nats_server.url) as publisher:
        for connects in (1, 2, 3):
            await until(lambda connects=connects: publisher.connects == connects, "a connection")  # type: ignore[misc]
            assert await publisher.publish([(STATE, b"1")]) == {}
            nats_server.kill()
            await until(lambda: not publisher.connected, "the loss to be known")
            with pytest.raises(NatsAway):
                await publisher.publish([(STATE, b"1")])
            nats_server.start()
        assert publisher.errors >= 3


@on_loop
async def test_what_the_server_denies_is_told_and_the_rest_is_published(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "strict", NO_COMMENTS).start()
    try:
        async with publishing(server.url, user="gateway", password="p") as publisher:
            await until(lambda: publisher.connected, "a connection")
            for _ in range(2):
                failed = await publisher.publish([(STATE, b"1"), (EVENT, b"2"), (STATE, b"3")])
                assert failed.keys() == {1}
                assert "permissions violation" in failed[1].lower()
            assert await publisher.publish([(STATE, b"4")]) == {}
            assert publisher.connects == 1
    finally:
        server.kill()


@on_loop
async def test_what_the_server_has_no_room_for_is_not_sent(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "small", "max_payload: 100").start()
    try:
        async with publishing(server.url) as publisher:
            await until(lambda: publisher.connected, "a connection")
            assert await publisher.publish([(STATE, b"1" * 101), (STATE, b"1" * 100)]) == {
                0: "NATS takes 100 bytes at most"
            }
    finally:
        server.kill()


@on_loop
async def test_what_is_not_confirmed_is_told(nats_server: NatsServer) -> None:
    async def confirms_nothing(peer: Peer) -> None:
        await peer.greet()
        await peer.answer(pings=3)
        await peer.ignore()

    async def hangs_up(peer: Peer) -> None:
        await peer.greet()
        await peer.answer(pings=3)
        await peer._reader.readuntil(b"PUB")

    for script in (confirms_nothing, hangs_up):
        async with FakeNats(script) as server, publishing(server.url) as publisher:
            await until(lambda publisher=publisher: publisher.connected, "a connection")  # type: ignore[misc]
            assert await publisher.publish([(STATE, b"1")]) == {0: UNCONFIRMED}


# -------------------------------------------------------------------------------------- the door


@asynccontextmanager
async def serving(make: NewGateway, **settings: Any) -> AsyncIterator[GatewayProcess]:
    gateway = make(**{"WS_WORKERS": 2, "WS_PUBLISH_TOKEN": TOKEN, **settings})
    await asyncio.to_thread(gateway.start)
    yield gateway
    assert await asyncio.to_thread(gateway.stop) == 0
    assert TOKEN not in str(gateway.log) + gateway.errors


async def post(
    gateway: GatewayProcess, body: Any, authorization: str = f"Bearer {TOKEN}", **more: str
) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    url = f"http://127.0.0.1:{gateway.admin_port}/publish"
    headers = more | ({"Authorization": authorization} if authorization else {})
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=io.BytesIO(data), headers=headers) as answer,
    ):
        return answer.status, await answer.json()


async def crowd(gateway: GatewayProcess, *channels: str) -> list[Client]:
    """Enough to be on both workers."""
    clients = [await Client.connect(gateway.port) for _ in range(20)]
    for client in clients:
        await client.say("subscribe", channels=channels)
        while (await client.message())["type"] != "subscribed":
            pass
    return clients


async def data(client: Client) -> Any:
    while "data" not in (message := await client.message()):
        pass
    return message["data"]


def publication(channel: str, data: Any = 1) -> dict[str, Any]:
    return {"channel": channel, "data": data}


@on_loop
async def test_without_nats_all_workers_get_it(gateway_process: NewGateway) -> None:
    async with serving(gateway_process, NATS_URL="none") as gateway:
        gateway.until_ready()
        clients = await crowd(gateway, STATE, EVENT)
        assert await post(gateway, publication(STATE, {"price": 1})) == (200, {"published": 1})
        many = {"publications": [publication(EVENT, number) for number in range(100)]}
        assert await post(gateway, many) == (200, {"published": 100})
        for client in clients:
            assert [await data(client) for _ in range(101)] == [{"price": 1}, *range(100)]
            client.close()
        assert gateway.metric('ws_publish_requests_total{status="200"}') == 2
        assert gateway.metric('ws_publish_publications_total{outcome="published"}') == 101
        assert gateway.metric("ws_publish_nats_connected") == 0


@on_loop
async def test_with_nats_all_gateways_get_it(
    nats_server: NatsServer, gateway_process: NewGateway
) -> None:
    settings = {"NATS_URL": nats_server.url}
    async with (
        serving(gateway_process, **settings) as gateway,
        serving(gateway_process, **settings) as other,
    ):
        for one in (gateway, other):
            one.until_metric('ws_feed_live{source="nats"}', lambda live: live == 2)
            one.until_metric("ws_publish_nats_connected", lambda connected: connected == 1)
        clients = [*await crowd(gateway, STATE), *await crowd(other, STATE)]
        assert await post(gateway, publication(STATE, 1.5)) == (200, {"published": 1})
        for client in clients:
            assert await data(client) == 1.5
            client.close()


@on_loop
async def test_when_nats_is_away_nobody_is_told_that_it_went_well(
    nats_server: NatsServer, gateway_process: NewGateway
) -> None:
    async with serving(gateway_process, NATS_URL=nats_server.url, WS_WORKERS=1) as gateway:
        gateway.until_metric("ws_publish_nats_connected", lambda connected: connected == 1)
        nats_server.kill()
        gateway.until_metric("ws_publish_nats_connected", lambda connected: connected == 0)
        status, answer = await post(gateway, {"publications": [publication(STATE)] * 2})
        assert status == 503
        assert answer == {
            "published": 0,
            "error": "not all was published: see errors",
            "errors": [
                {"publication": place, "error": "no NATS server is connected"} for place in (0, 1)
            ],
        }
        nats_server.start()
        gateway.until_metric("ws_publish_nats_connected", lambda connected: connected == 1)
        assert await post(gateway, publication(STATE)) == (200, {"published": 1})


@on_loop
async def test_what_nats_denies_is_told(tmp_path: Path, gateway_process: NewGateway) -> None:
    server = NatsServer(tmp_path / "strict", NO_COMMENTS).start()
    settings = {"NATS_URL": server.url, "NATS_USER": "gateway", "NATS_PASSWORD": "p"}
    try:
        async with serving(gateway_process, WS_WORKERS=1, **settings) as gateway:
            gateway.until_metric("ws_publish_nats_connected", lambda connected: connected == 1)
            both = [publication(STATE), publication(EVENT)]
            status, answer = await post(gateway, {"publications": both})
            assert (status, answer["published"]) == (503, 1)
            (only,) = answer["errors"]
            assert only["publication"] == 1 and "NATS refuses it" in only["error"]
            assert gateway.metric('ws_publish_publications_total{outcome="failed"}') == 1
    finally:
        server.kill()


@on_loop
async def test_who_may_not_and_what_is_wrong(gateway_process: NewGateway) -> None:
    async with serving(gateway_process, NATS_URL="none", WS_WORKERS=1) as gateway:
        good = publication(STATE)
        for wrong in ("", "Bearer", "Bearer x", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer é"):
            status, answer = await post(gateway, good, wrong)
            assert (status, list(answer)) == (401, ["error"]), wrong
        assert (await post(gateway, good, f"bearer  {TOKEN} "))[0] == 200
        status, answer = await post(gateway, b" " * (1024 * 1024 + 1))
        assert (status, answer) == (413, {"error": "the body has more than 1048576 bytes"})
        status, answer = await post(
            gateway, {"publications": [good, publication("x"), publication("a b")]}
        )
        assert (status, answer["published"]) == (400, 0)
        assert [one["publication"] for one in answer["errors"]] == [1, 2]
        assert (await post(gateway, b"{"))[0] == 400
        status, answer = await post(gateway, b"no gzip", **{"Content-Encoding": "gzip"})
        assert (status, answer) == (400, {"error": "the body cannot be decoded as its head says"})
        assert not [one for one in gateway.log if one["level"] == "error"]
        assert gateway.metric('ws_publish_requests_total{status="401"}') == 6
        assert gateway.metric('ws_publish_publications_total{outcome="published"}') == 1


@on_loop
async def test_where_to_publish_follows_the_settings(
    nats_server: NatsServer, gateway_process: NewGateway, tmp_path: Path
) -> None:
    file = tmp_path / "wsgate.toml"
    file.write_text("nats_url = 'none'")
    # What is empty is not set: these are the file's.
    async with serving(gateway_process, WS_CONFIG=file, NATS_URL="", WS_WORKERS=1) as gateway:
        assert await post(gateway, publication(STATE)) == (200, {"published": 1})
        file.write_text(f"nats_url = '{nats_server.url}'\nws_poll_url = 'http://127.0.0.1:1/'\n")
        gateway.signal(signal.SIGHUP)
        gateway.until_metric("ws_worker_restarts_total", lambda restarts: restarts == 1)
        gateway.until_metric("ws_publish_nats_connected", lambda connected: connected == 1)
        gateway.until_ready()  # and does not wait for a backend that nobody asks
        (warning,) = [one for one in gateway.log if "take full effect" in one["event"]]
        assert warning["settings"] == ["WS_POLL_URL"]
        async with listening(nats_server) as feed:
            assert await post(gateway, publication(STATE, "over NATS")) == (200, {"published": 1})
            await feed.until_received(b'"over NATS"')


@on_loop
async def test_only_so_many_at_once(gateway_process: NewGateway) -> None:
    async with serving(gateway_process, NATS_URL="none", WS_WORKERS=1) as gateway:
        head = (
            f"POST /publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
            "Content-Length: 100\r\n\r\n"
        ).encode()
        slow = [await Client.dial(gateway.admin_port) for _ in range(AT_ONCE_MAX)]
        for client in slow:
            await client.send(head)
        async with asyncio.timeout(20):
            while (await post(gateway, publication(STATE)))[0] != 503:
                pass
        for client in slow:
            client.close()
        async with asyncio.timeout(20):
            while (await post(gateway, publication(STATE)))[0] != 200:
                pass


@on_loop
async def test_without_a_token_there_is_no_door(gateway_process: NewGateway) -> None:
    gateway = gateway_process()
    await asyncio.to_thread(gateway.start)
    assert await post(gateway, publication(STATE)) == (
        404,
        {"error": "nobody may publish here: WS_PUBLISH_TOKEN is not set"},
    )
    assert gateway.stop() == 0


def test_the_channels_used_here_have_rules() -> None:
    assert DEFAULT_RULES.match(STATE) and DEFAULT_RULES.match(EVENT)
