"""``wsgate serve`` without NATS: a backend polled by the supervisor, clients of two workers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.support.backend import Backend, status
from tests.support.client import Client
from tests.support.feed import until
from tests.support.loop import on_loop
from tests.support.nats import NatsServer, Publisher, nats_server
from tests.support.process import GatewayProcess, gateway_process
from tests.support.processes import children

__all__ = ["gateway_process", "nats_server"]

NewGateway = Callable[..., GatewayProcess]

A, B = "token.a.update", "token.b.update"
EVENT = "token.a.comment"


async def asked(gateway: GatewayProcess, path: str) -> tuple[int, str]:
    """While the backend, in this process, answers."""
    return await asyncio.to_thread(gateway.get, path)


async def metric(gateway: GatewayProcess, name: str) -> float:
    return await asyncio.to_thread(gateway.metric, name)


async def until_feeds(gateway: GatewayProcess, count: int) -> None:
    name = 'ws_feed_live{source="poll"}'
    async with asyncio.timeout(30):
        while await metric(gateway, name) != count:
            await asyncio.sleep(0.01)


@asynccontextmanager
async def polled(
    backend: Backend, make: NewGateway, **settings: Any
) -> AsyncIterator[GatewayProcess]:
    defaults = {"NATS_URL": "none", "WS_WORKERS": 2, "WS_POLL_INTERVAL_MS": 10}
    gateway = make(**{**defaults, "WS_POLL_URL": backend.url, **settings})
    await asyncio.to_thread(gateway.start)
    yield gateway
    assert await asyncio.to_thread(gateway.stop) == 0


async def crowd(gateway: GatewayProcess, count: int, *channels: str) -> list[Client]:
    """Enough of them to be on both workers."""
    clients = [await Client.connect(gateway.port) for _ in range(count)]
    for client in clients:
        await client.subscribe(*channels)
    return clients


async def data(client: Client) -> Any:
    """Of the next update."""
    while "data" not in (message := await client.message()):
        pass
    return message["data"]


@on_loop
async def test_what_changes_at_the_backend_reaches_the_clients_of_all_workers(
    gateway_process: NewGateway,
) -> None:
    async with Backend() as backend:
        first = backend.change("a", price=1)
        async with polled(backend, gateway_process) as gateway:
            await until_feeds(gateway, 2)
            assert await asked(gateway, "/readyz") == (200, "ready\n")
            clients = await crowd(gateway, 20, A, B)
            for client in clients:
                assert await data(client) == first
            for _ in range(5):
                change = backend.change("b", price=2)
                for client in clients:
                    assert await data(client) == change
            assert backend.at_once_most == 1
            assert await metric(gateway, 'ws_poll_items_total{outcome="taken"}') == 6
            assert await metric(gateway, "ws_relay_last_values") == 2
            assert 0 <= await metric(gateway, "ws_poll_answer_age_seconds") < 60
            for client in clients:
                client.close()


@on_loop
async def test_a_worker_that_replaces_one_knows_the_last_values(
    gateway_process: NewGateway,
) -> None:
    async with Backend() as backend:
        changes = [backend.change(id) for id in "ab"]
        async with polled(backend, gateway_process, WS_WORKERS=1) as gateway:
            await until_feeds(gateway, 1)
            (victim,) = children(gateway.pid)
            os.kill(victim, signal.SIGKILL)
            await until(lambda: children(gateway.pid) not in ([], [victim]), "its successor")
            client = await Client.connect(gateway.port)
            await client.subscribe(A, B)  # and hears first of that, not that all is stale
            got = [await data(client) for _ in changes]
            assert sorted(got, key=str) == sorted(changes, key=str)
            await until_feeds(gateway, 1)
            change = backend.change("a")
            assert await data(client) == change
            assert await metric(gateway, "ws_worker_deaths_total") == 1
            client.close()


@on_loop
async def test_clients_that_a_worker_still_has_are_served_while_it_is_replaced(
    gateway_process: NewGateway,
) -> None:
    async with Backend() as backend:
        settings = {"WS_WORKERS": 1, "WS_DRAIN_RECONNECTS_PER_S": 0.1}
        async with polled(backend, gateway_process, **settings) as gateway:
            await until_feeds(gateway, 1)
            clients = await crowd(gateway, 4, A)
            gateway.signal(signal.SIGHUP)

            async def told_to_leave() -> None:
                for client in clients:
                    while (await client.message())["type"] != "reconnect":
                        pass

            await told_to_leave()
            late = await Client.connect(gateway.port)  # of the new worker
            await late.subscribe(A)
            change = backend.change("a")
            assert await data(late) == change
            # The last of those sent away is on the old worker for half a minute.
            assert await data(clients[-1]) == change
            for client in (*clients, late):
                client.close()


@on_loop
async def test_clients_and_operators_are_told_when_the_backend_is_away(
    gateway_process: NewGateway,
) -> None:
    async with (
        Backend() as backend,
        polled(backend, gateway_process, WS_POLL_TIMEOUT_S=0.2) as gateway,
    ):
        await until_feeds(gateway, 2)
        clients = await crowd(gateway, 10, A)
        await backend.close()
        for client in clients:
            while await client.message() != {"type": "feed", "state": "stale"}:
                pass
        code, text = await asked(gateway, "/readyz")
        assert code == 503
        (reason,) = json.loads(text)["not_ready"]
        assert reason.startswith("poll: not connected (no connection: Connect")
        assert (await asked(gateway, "/healthz"))[0] == 200
        change = backend.change("a")
        await backend.open()
        for client in clients:
            assert await client.message() == {"type": "feed", "state": "live"}
            assert await data(client) == change
            client.close()


@on_loop
async def test_a_gateway_starts_without_its_backend(gateway_process: NewGateway) -> None:
    async with Backend() as backend:
        await backend.close()
        async with polled(backend, gateway_process) as gateway:
            client = await Client.connect(gateway.port)
            assert await client.message() == {"type": "feed", "state": "stale"}
            assert (await asked(gateway, "/readyz"))[0] == 503
            await client.subscribe(A)
            change = backend.change("a")
            await backend.open()
            assert await client.message() == {"type": "feed", "state": "live"}
            assert await data(client) == change
            client.close()


@on_loop
async def test_a_cursor_too_old_is_told_to_clients(gateway_process: NewGateway) -> None:
    async with Backend() as backend:
        backend.scripts.append(status(410))  # while there is no cursor: a failure, and no gap
        backend.change("a")
        async with polled(backend, gateway_process) as gateway:
            await until_feeds(gateway, 2)
            client = await Client.connect(gateway.port)
            await client.subscribe(EVENT)
            backend.go.clear()
            await backend.until_asked()
            backend.change("a")
            backend.forgotten = 2
            backend.go.set()
            while (message := await client.message())["type"] != "gap":
                pass
            assert message["channels"] == ["token.*.update"]
            assert await metric(gateway, "ws_poll_cursor_resets_total") == 1
            client.close()


@on_loop
async def test_a_token_is_sent_and_never_shown(gateway_process: NewGateway) -> None:
    token = "token-of-the-backend-XYZZY"
    async with Backend() as backend:
        backend.scripts += [status(401)] * 3
        settings = {"WS_POLL_TOKEN": token, "WS_POLL_URL": f"{backend.url}?key={token}"}
        async with polled(backend, gateway_process, LOG_LEVEL="debug", **settings) as gateway:
            await until_feeds(gateway, 2)
            assert {one.headers["Authorization"] for one in backend.seen} == {f"Bearer {token}"}
            assert [one for one in gateway.log if one["event"] == "poll_denied"]
        assert token not in str(gateway.log) + gateway.errors


@on_loop
async def test_both_nats_and_a_backend_may_feed(
    nats_server: NatsServer, gateway_process: NewGateway
) -> None:
    async with Backend() as backend:
        settings = {"NATS_URL": nats_server.url, "NATS_SUBJECTS": "token.*.comment"}
        async with polled(backend, gateway_process, **settings) as gateway:
            await until_feeds(gateway, 2)
            await asyncio.to_thread(
                gateway.until_metric, 'ws_feed_live{source="nats"}', lambda live: live == 2
            )
            clients = await crowd(gateway, 10, A, EVENT)
            change = backend.change("a")
            for client in clients:
                assert await data(client) == change
            with Publisher(nats_server) as publisher:
                publisher.publish(EVENT, b'"hello"')
                publisher.flush()
            for client in clients:
                assert await data(client) == "hello"
            nats_server.kill()
            await until(
                lambda: (
                    json.loads(gateway.get("/readyz")[1]) == {"not_ready": ["nats: not connected"]}
                    if gateway.get("/readyz")[0] == 503
                    else False
                ),
                "it to say so",
            )
            for client in clients:
                client.close()
