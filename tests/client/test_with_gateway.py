"""The client and the real gateway."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import aiohttp
import pytest

from tests.support.certificates import Certificate
from tests.support.feed import until
from tests.support.gateway import LateSource, LocalGateway, local_gateway
from tests.support.issuer import SECRET, token
from tests.support.loop import on_loop
from tests.support.nats import NatsServer, Publisher, nats_server
from tests.support.process import GatewayProcess, gateway_process
from wsgate.client import (
    Client,
    Closed,
    ClosedByGateway,
    Gap,
    SubscribeRefused,
    TokenRefused,
    Update,
    Why,
)
from wsgate.client.actions import Timing
from wsgate.client.wire import DECODERS

__all__ = ["gateway_process", "nats_server"]  # fixtures

EVENT, STATE = "token.a.comment", "token.a.update"
JWT = {"ws_auth": "jwt", "ws_jwt_secret": SECRET.decode(), "ws_jwt_leeway_s": 0}


class Now(Random):
    """Comes back at once."""

    def uniform(self, a: float, b: float) -> float:
        return 0.0


def url(gateway: LocalGateway | GatewayProcess) -> str:
    return f"ws://127.0.0.1:{gateway.port}/"


def good(**claims: object) -> str:
    return token("HS256", **({"channels": ["token.>"]} | claims))


async def lose(client: Client, gateway: LocalGateway) -> None:
    """Cut its connection off, and wait until it has another."""
    lines = set(client._lines)
    for connection in gateway.connections:
        connection.abort()
    await until(lambda: client.connected and not lines & set(client._lines), "another connection")


@on_loop
async def test_what_is_published_is_iterated_over() -> None:
    async with local_gateway() as gateway, Client(url(gateway)) as client:
        gateway.publish(STATE, {"price": 1})
        prices = await client.subscribe("token.*.update", max_rate=100)
        comments = await client.subscribe(EVENT)
        assert await anext(prices) == Update("token_update", STATE, 1, 0, {"price": 1})
        for number in range(5):
            gateway.publish(EVENT, number)
        assert [(await anext(comments)).data for _ in range(5)] == [0, 1, 2, 3, 4]
        assert client.connected and client.feed == "live" and comments.channels == (EVENT,)


@on_loop
async def test_a_client_that_leaves_leaves_nothing_behind() -> None:
    async with local_gateway() as gateway:
        before = asyncio.all_tasks()
        async with Client(url(gateway)) as client:
            subscription = await client.subscribe(EVENT)
            gateway.publish(EVENT, "last")
            await until(lambda: subscription.backlog == 1)
        assert asyncio.all_tasks() <= before
        assert [one.data async for one in subscription] == ["last"], "what had come can be read"
        await gateway.until_empty()
        assert gateway.hub.closed_by_reason == {"client": 1}


@on_loop
async def test_one_that_is_cancelled_leaves_nothing_behind_either() -> None:
    async with local_gateway() as gateway:
        before = asyncio.all_tasks()
        there = asyncio.Event()

        async def use() -> None:
            async with Client(url(gateway)) as client, await client.subscribe(EVENT) as comments:
                there.set()
                async for _ in comments:
                    pass

        task = asyncio.create_task(use())
        await there.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() <= before
        await gateway.until_empty()


@on_loop
async def test_nobody_there_is_waited_for() -> None:
    before = asyncio.all_tasks()
    async with Client("ws://127.0.0.1:1/") as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await client.subscribe(EVENT)
        assert not client.connected
    assert asyncio.all_tasks() <= before


@on_loop
async def test_refusals_are_raised_or_kept() -> None:
    async with local_gateway() as gateway, Client(url(gateway)) as client:
        with pytest.raises(SubscribeRefused) as caught:
            await client.subscribe(STATE, "nobody.knows", "token.>", "not a name")
        assert {name: error.code for name, error in caught.value.errors.items()} == {
            "not a name": "bad_channel"
        }
        with pytest.raises(SubscribeRefused) as caught:
            await client.subscribe(STATE, "nobody.knows", "token.>")
        assert {name: error.code for name, error in caught.value.errors.items()} == {
            "nobody.knows": "unknown_channel",
            "token.>": "pattern_not_allowed",
        }
        await until(lambda: gateway.connections[0].handle is not None)
        some = await client.subscribe(STATE, "nobody.knows", "bad name", partial=True)
        assert set(some.errors) == {"nobody.knows", "bad name"}
        gateway.publish(STATE, 1)
        assert (await anext(some)).data == 1
        for wrong in ((), (STATE,)):
            with pytest.raises(ValueError):
                await client.subscribe(*wrong, max_rate=0.0)


@on_loop
async def test_what_is_not_wanted_any_more_is_not_sent() -> None:
    async with local_gateway() as gateway, Client(url(gateway)) as client:
        first = await client.subscribe(EVENT)
        second = await client.subscribe(EVENT)
        first.close()
        gateway.publish(EVENT, 1)
        assert (await anext(second)).data == 1
        assert [one async for one in first] == []
        second.close()
        (connection,) = gateway.connections
        await until(lambda: gateway.core.subscription_count(connection.handle) == 0)


@on_loop
async def test_after_a_cut_it_comes_back_and_has_what_it_missed() -> None:
    gaps: list[Gap] = []
    async with (
        local_gateway() as gateway,
        Client(url(gateway), random=Now(), on_gap=gaps.append) as client,
    ):
        events = await client.subscribe(EVENT, "global.news")
        prices = await client.subscribe(STATE)
        gateway.publish(EVENT, 1)
        gateway.publish(STATE, 1)
        assert (await anext(events)).data == 1
        assert (await anext(prices)).data == 1
        for connection in gateway.connections:
            connection.abort()
        gateway.publish(EVENT, "missed")
        gateway.publish(STATE, 2)
        assert (await anext(prices)).data == 2, "the last value is sent again"
        gateway.publish(EVENT, 3)
        assert [(await anext(events)).data for _ in range(2)] == ["missed", 3]
        await lose(client, gateway)
        probe = await client.subscribe("global.trending")
        assert probe.errors == {} and gaps == []


@on_loop
async def test_after_a_cut_it_says_what_cannot_be_had_any_more() -> None:
    rule = {"subject": "token.*.comment", "type": "token_comment", "kind": "event"}
    async with (
        local_gateway(ws_rules=[rule | {"history_events": 1}]) as gateway,
        Client(url(gateway), random=Now()) as client,
    ):
        events = await client.subscribe(EVENT)
        gateway.publish(EVENT, 1)
        assert (await anext(events)).data == 1
        for connection in gateway.connections:
            connection.abort()
        for number in (2, 3):
            gateway.publish(EVENT, number)
        await until(
            lambda: gateway.hub.subscriptions.recoveries["refused"] == 1, "the client to be back"
        )
        gateway.publish(EVENT, 4)
        items = events.with_gaps()
        assert await anext(items) == Gap((EVENT,), Why.UNRECOVERED)
        update = await anext(items)
        assert isinstance(update, Update) and update.data == 4


@on_loop
async def test_a_slow_reader_has_the_latest_state_and_a_gap_among_events() -> None:
    async with local_gateway() as gateway, Client(url(gateway)) as client:
        slow = await client.subscribe(EVENT, STATE, events_max=3)
        probe = await client.subscribe("global.news")
        for number in range(100):
            gateway.publish(EVENT, number)
            gateway.publish(STATE, number)
        gateway.publish("global.news", "done")
        await anext(probe)
        await until(lambda: slow.backlog == 5)
        items = slow.with_gaps()
        found = [await anext(items) for _ in range(5)]
        states = [one for one in found if isinstance(one, Update) and one.channel == STATE]
        assert len(states) == 1
        events = [one for one in found if one not in states]
        assert [one.data for one in events if isinstance(one, Update)] == [0, 1, 2]
        assert events[-1] == Gap((EVENT,), Why.SLOW)


@on_loop
async def test_over_tls(tmp_path: Path) -> None:
    certificate = Certificate(tmp_path)
    keys = {"ws_tls_cert": certificate.path, "ws_tls_key": certificate.key_path}
    async with local_gateway(**keys) as gateway:
        secure = url(gateway).replace("ws://", "wss://")
        async with Client(secure, tls=certificate.trusted()) as client:
            comments = await client.subscribe(EVENT)
            gateway.publish(EVENT, 1)
            assert (await anext(comments)).data == 1


@on_loop
async def test_a_mistake_of_its_own_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def decode(self, message: str | bytes) -> None:
            raise ZeroDivisionError

    for spoken in list(DECODERS):
        monkeypatch.setitem(DECODERS, spoken, Broken)
    async with local_gateway() as gateway:
        client = Client(url(gateway))
        await client.__aenter__()
        with pytest.raises(Closed, match="ZeroDivisionError"):
            await client.subscribe(EVENT)
        with pytest.raises(ExceptionGroup) as caught:
            await client.__aexit__(None, None, None)
        assert caught.group_contains(ZeroDivisionError)
    assert len(asyncio.all_tasks()) == 1


@on_loop
async def test_a_client_is_used_in_its_block() -> None:
    with pytest.raises(RuntimeError):
        await Client("ws://127.0.0.1:1/").subscribe(EVENT)


@on_loop
async def test_who_pauses_gets_what_came_meanwhile_when_he_resumes() -> None:
    async with local_gateway() as gateway, Client(url(gateway)) as client:
        both = await client.subscribe(EVENT, STATE)
        await client.pause()
        for number in range(3):
            gateway.publish(EVENT, number)
            gateway.publish(STATE, number)
        await gateway.until_flushed()
        assert both.backlog == 0
        await client.resume()
        found = [await anext(both) for _ in range(4)]
        assert [one.data for one in found if one.channel == EVENT] == [0, 1, 2]
        assert [one.data for one in found if one.channel == STATE] == [2]


@on_loop
async def test_a_feed_that_is_stale_can_be_seen() -> None:
    feeds: list[str] = []
    async with (
        local_gateway(source=LateSource) as gateway,
        Client(url(gateway), on_feed=feeds.append) as client,
    ):
        await client.subscribe(STATE)
        await until(lambda: client.feed == "stale")
        await gateway.source.arrive()  # type: ignore[attr-defined]
        await until(lambda: client.feed == "live")
        assert feeds == ["stale", "live"]


@pytest.mark.parametrize("way", ["subprotocol", "message", "query"])
@on_loop
async def test_a_token_opens_in_every_way(way: str) -> None:
    async with (
        local_gateway(**JWT) as gateway,
        Client(url(gateway), token=good(), token_as=way) as client,  # type: ignore[arg-type]
    ):
        await client.subscribe(STATE)
        with pytest.raises(SubscribeRefused, match="not_permitted"):
            await client.subscribe("global.trending")


@on_loop
async def test_tickets_are_asked_for_one_by_one() -> None:
    async with local_gateway(**JWT) as gateway:
        issued = []

        async def ticket() -> str:
            issued.append(await _ticket(gateway))
            return issued[-1]

        async with Client(url(gateway), token=ticket, token_as="ticket", random=Now()) as client:
            await client.subscribe(STATE)
            await lose(client, gateway)
            await client.subscribe(EVENT)
        assert len(set(issued)) == 2


async def _ticket(gateway: LocalGateway) -> str:
    async with gateway.admin() as admin, aiohttp.ClientSession() as http:
        address = f"http://127.0.0.1:{admin.port}/ticket"
        headers = {"Authorization": f"Bearer {good()}"}
        async with http.post(address, headers=headers, json={"token": good()}) as answer:
            assert answer.status < 300, await answer.text()
            return str((await answer.json())["ticket"])


@on_loop
async def test_a_token_is_renewed_on_the_same_connection() -> None:
    asked = 0

    async def fresh() -> str:
        nonlocal asked
        asked += 1
        lifetime_s = 3 if asked == 1 else 600
        return good(exp=int(time.time()) + lifetime_s, jti=str(asked))

    async with (
        local_gateway(**JWT) as gateway,
        Client(url(gateway), token=fresh, timing=Timing(renewal_retry_s=0.01)) as client,
    ):
        comments = await client.subscribe(EVENT)
        (connection,) = gateway.connections
        await until(lambda: asked == 2)
        gateway.publish(EVENT, 1)
        assert (await anext(comments)).data == 1
        assert gateway.connections == [connection]


@on_loop
async def test_a_bad_token_is_the_end_and_an_expired_one_is_replaced() -> None:
    async with local_gateway(**JWT) as gateway:
        async with Client(url(gateway), token=token("HS256", "k2")) as client:
            with pytest.raises(TokenRefused) as caught:
                await client.subscribe(STATE)
            assert caught.value.code == 4501
            with pytest.raises(ClosedByGateway):
                await client.wait_connected()
        given = [good(exp=1), good()]

        async def next_one() -> str:
            return given.pop(0)

        async with Client(url(gateway), token=next_one, random=Now()) as client:
            await client.subscribe(STATE)
        assert not given


@on_loop
async def test_a_real_gateway_that_restarts_is_found_again(
    nats_server: NatsServer, gateway_process: Callable[..., GatewayProcess]
) -> None:
    gateway = gateway_process(NATS_URL=nats_server.url, WS_WORKERS=2).start()
    gateway.until_ready()
    with Publisher(nats_server) as publisher:
        async with Client(url(gateway), random=Now()) as client:
            comments = await client.subscribe("token.*.comment", EVENT)
            publisher.publish(EVENT, b"1")
            assert (await anext(comments)).data == 1
            workers = gateway.metric("ws_connections_total")
            gateway.signal(signal.SIGHUP)  # replaces its workers one by one
            await until(lambda: len(client._lines) == 1 and client._session._ids > 1)
            await until(lambda: client.connected and client._session._next is None)
            assert workers == 1
            probe = await client.subscribe("global.news")
            publisher.publish("global.news", b"2")
            assert (await anext(probe)).data == 2
            publisher.publish(EVENT, b"3")
            items = comments.with_gaps()
            while not isinstance(item := await anext(items), Update):
                pass
            assert item.data == 3
    assert gateway.stop() == 0


@pytest.mark.parametrize("spoken", [True, False])
@on_loop
async def test_publications_come_as_deltas_where_the_gateway_has_them(spoken: bool) -> None:
    async with local_gateway(ws_delta=spoken) as gateway, Client(url(gateway)) as client:
        both = await client.subscribe(EVENT, STATE)
        published = [{"price": number, "name": "x" * 200} for number in range(20)]
        for data in published:
            gateway.publish(EVENT, data)
        gateway.publish(STATE, "latest")
        found = [await anext(both) for _ in range(21)]
        assert [one.data for one in found if one.channel == EVENT] == published
        assert [one.data for one in found if one.channel == STATE] == ["latest"]
        assert (gateway.totals["frames_delta"] > 0) == spoken
