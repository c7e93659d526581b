"""nats-server dies and comes back under load: clients are told, and nobody is cut off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.loop import on_loop
from tests.support.nats import NatsServer, Publisher, nats_server
from tests.support.process import GatewayProcess, gateway_process

__all__ = ["gateway_process", "nats_server"]  # fixtures

NewGateway = Callable[..., GatewayProcess]

EVENT = "token.abc.comment"
STATE = "token.abc.update"
SUBJECTS = ["token.*.update", "token.*.comment", "global.>"]
CLIENTS = 20
PUBLICATIONS_A_TURN = 20


class Backend:
    """Publishes rising numbers on both channels, whether NATS is there or not."""

    def __init__(self, server: NatsServer) -> None:
        self._server = server
        self.number = 0

    async def run(self) -> None:
        while True:
            try:
                with Publisher(self._server) as publisher:
                    while True:
                        self._publish_some(publisher)
                        await asyncio.sleep(0.005)
            except (OSError, AssertionError):  # no server, or one that died in the middle
                await asyncio.sleep(0.005)

    def _publish_some(self, publisher: Publisher) -> None:
        for _ in range(PUBLICATIONS_A_TURN):
            self.number += 1
            for channel in (EVENT, STATE):
                publisher.publish(channel, b"%d" % self.number)


class Subscriber:
    """Everything that one client is told."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.messages: list[Any] = []

    async def run(self) -> None:
        while True:
            self.messages.append(await self.client.message())

    @property
    def told(self) -> list[Any]:
        """All that is no publication."""
        return [one for one in self.messages if "seq" not in one]

    @property
    def latest(self) -> int:
        """The number it has seen last on the event channel."""
        return next(
            (one["data"] for one in reversed(self.messages) if one.get("channel") == EVENT), 0
        )


@asynccontextmanager
async def running(*parts: Backend | Subscriber) -> AsyncIterator[None]:
    """Until the block ends; a part that fails fails the test."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(part.run()) for part in parts]
        yield
        for task in tasks:
            task.cancel()


async def each_until(subscribers: list[Subscriber], condition: Callable[[Subscriber], Any]) -> None:
    while not all(condition(one) for one in subscribers):
        await asyncio.sleep(0.005)


def assert_numbered_without_a_hole(messages: list[Any]) -> None:
    """The gateway's own numbering never jumps; after a gap it begins anew, above what it had."""
    of_interest = [one for one in messages if one.get("channel") == EVENT or one["type"] == "gap"]
    for one, two in pairwise(of_interest):
        if two["type"] != "gap":
            assert two["prev"] == (0 if one["type"] == "gap" else one["seq"])
    events = [one["seq"] for one in of_interest if one["type"] != "gap"]
    assert events == sorted(set(events))
    states = [one["seq"] for one in messages if one.get("channel") == STATE]
    assert states == sorted(set(states))


@pytest.mark.parametrize("outages", [1, 3])
@on_loop
async def test_clients_hear_of_an_outage_and_stay(
    nats_server: NatsServer, gateway_process: NewGateway, outages: int
) -> None:
    gateway = gateway_process(NATS_URL=nats_server.url).start()
    gateway.until_ready()
    backend = Backend(nats_server)
    with ExitStack() as stack:
        subscribers = []
        for _ in range(CLIENTS):
            client = await Client.connect(gateway.port)
            stack.callback(client.close)
            await client.subscribe(EVENT, STATE)
            subscribers.append(Subscriber(client))
        async with running(backend, *subscribers):
            told: list[Any] = []
            for _ in range(outages):
                await each_until(subscribers, lambda one: one.latest > 0)
                nats_server.kill()
                told.append({"type": "feed", "state": "stale"})
                await each_until(subscribers, lambda one: len(one.told) >= len(told))
                assert gateway.get("/readyz")[0] == 503
                at_restart = backend.number
                nats_server.start()
                told.append({"type": "feed", "state": "live"})
                told.append({"type": "gap", "channels": SUBJECTS})
                await each_until(subscribers, lambda one: len(one.told) >= len(told))
                await each_until(
                    subscribers, lambda one, after=at_restart: one.latest > after + 100
                )
            for one in subscribers:
                assert one.told == told
                assert_numbered_without_a_hole(one.messages)
        gateway.until_ready()
        metrics = gateway.metrics()
        assert metrics["ws_connections_current"] == metrics["ws_connections_total"] == CLIENTS
        assert metrics['ws_feed_reconnects_total{source="nats"}'] == outages


@on_loop
async def test_a_client_that_comes_during_an_outage(
    nats_server: NatsServer, gateway_process: NewGateway
) -> None:
    """It gets what the gateway remembers, and knows that it is old."""
    gateway = gateway_process(NATS_URL=nats_server.url).start()
    gateway.until_ready()
    with ExitStack() as stack:
        early = await Client.connect(gateway.port)
        stack.callback(early.close)
        await early.subscribe(STATE)
        with Publisher(nats_server) as publisher:
            publisher.publish(STATE, b'"old"')
            publisher.flush()
            assert (await early.message())["data"] == "old"
        nats_server.kill()
        assert await early.message() == {"type": "feed", "state": "stale"}
        late = await Client.connect(gateway.port)
        stack.callback(late.close)
        assert await late.message() == {"type": "feed", "state": "stale"}
        reply = await late.subscribe(STATE)
        assert reply["channels"][STATE]["seq"] == 1
        assert (await late.message())["data"] == "old"
        nats_server.start()
        for client in (early, late):
            assert await client.message() == {"type": "feed", "state": "live"}
            assert await client.message() == {"type": "gap", "channels": SUBJECTS}
        with Publisher(nats_server) as publisher:
            publisher.publish(STATE, b'"new"')
            publisher.flush()
        for client in (early, late):
            message = await client.message()
            assert (message["data"], message["seq"], message["prev"]) == ("new", 2, 1)


@on_loop
async def test_one_of_several_servers_is_enough(
    nats_server: NatsServer, gateway_process: NewGateway
) -> None:
    gone = "nats://127.0.0.1:1"
    gateway = gateway_process(NATS_URL=f"{gone},{nats_server.url},{gone}").start()
    gateway.until_ready()
    client = await Client.connect(gateway.port)
    await client.subscribe(EVENT)
    with Publisher(nats_server) as publisher:
        publisher.publish(EVENT, b"1")
        publisher.flush()
    assert (await client.message())["data"] == 1
    client.close()
