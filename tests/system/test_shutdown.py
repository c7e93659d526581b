"""SIGTERM: what is owed, then 1012 for everybody, then exit status 0, all in bounded time."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.client import Client, Ended, request
from tests.support.conversation import browser
from tests.support.feed import until
from tests.support.frames import Frame, close_frame
from tests.support.loop import on_loop
from tests.support.nats import NatsServer, Publisher, nats_server
from tests.support.process import GatewayProcess, gateway_process
from tests.support.processes import children

__all__ = ["gateway_process", "nats_server"]  # fixtures

NewGateway = Callable[..., GatewayProcess]

EVENT = "token.abc.comment"
STOPPED_WITHIN_S = 15.0


@pytest.fixture
def gateway(nats_server: NatsServer, gateway_process: NewGateway) -> GatewayProcess:
    started = gateway_process(NATS_URL=nats_server.url).start()
    started.until_ready()
    return started


@pytest.fixture
def keep() -> Iterator[Callable[[Client], Client]]:
    """Clients that are closed when the test is over."""
    with ExitStack() as stack:

        def kept(client: Client) -> Client:
            stack.callback(client.close)
            return client

        yield kept


async def exit_status(gateway: GatewayProcess) -> int:
    return await asyncio.to_thread(gateway.wait, STOPPED_WITHIN_S)


def assert_told_in_order(received: list[Frame], close: Frame) -> int:
    """Events without a hole, one word of when to come back, then 1012; the last event's seq."""
    told = [one for one in received if one.message["type"] == "reconnect"]
    assert len(told) == 1 and 0 <= told[0].message["after_ms"] < 1000 * STOPPED_WITHIN_S
    assert (close.close_code, close.close_reason) == (1012, "service_restart")
    seqs = [one.message["seq"] for one in received if one not in told]
    assert seqs == list(range(1, len(seqs) + 1))
    return len(seqs)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@on_loop
async def test_everybody_is_told_and_the_status_is_0(
    gateway: GatewayProcess, signum: signal.Signals, keep: Callable[[Client], Client]
) -> None:
    clients = [keep(await Client.connect(gateway.port)) for _ in range(100)]
    for client in clients:
        await client.subscribe(EVENT)
    gateway.signal(signum)
    for client in clients:
        received, close = await client.until_close(answer=True)
        assert assert_told_in_order(received, close) == 0
    assert await exit_status(gateway) == 0
    assert gateway.errors == ""
    assert gateway.log[-1]["event"] == "stopped"


@on_loop
async def test_an_independent_client_is_told(gateway: GatewayProcess) -> None:
    async with browser(gateway.port) as client:
        await client.subscribe(EVENT)
        gateway.signal()
        await client.connection.wait_closed()
        assert client.connection.close_code == 1012
    assert await exit_status(gateway) == 0


@on_loop
async def test_under_load_the_stream_ends_between_two_events(
    gateway: GatewayProcess, nats_server: NatsServer, keep: Callable[[Client], Client]
) -> None:
    clients = [keep(await Client.connect(gateway.port)) for _ in range(30)]
    for client in clients:
        await client.subscribe(EVENT)

    async def publish() -> None:
        with Publisher(nats_server) as publisher:
            while True:
                for _ in range(20):
                    publisher.publish(EVENT, b'"%s"' % (b"x" * 500))
                await asyncio.sleep(0.001)

    publishing = asyncio.create_task(publish())
    endings = [asyncio.create_task(client.until_close(answer=True)) for client in clients]
    await until(lambda: gateway.metric("ws_messages_sent_total") > 3000, "some deliveries")
    published = gateway.metric("ws_publications_total")
    gateway.signal()
    counts = [assert_told_in_order(*await ending) for ending in endings]
    publishing.cancel()
    assert min(counts) >= published, "what was owed when it began"
    assert await exit_status(gateway) == 0


@on_loop
async def test_a_slow_client_that_reads_in_time_gets_all_it_is_owed(
    gateway: GatewayProcess, nats_server: NatsServer, keep: Callable[[Client], Client]
) -> None:
    client = keep(await Client.connect(gateway.port, receive_buffer=4096))
    await client.subscribe(EVENT)
    with Publisher(nats_server) as publisher:
        for _ in range(1000):
            publisher.publish(EVENT, b'"%s"' % (b"x" * 500))
        publisher.flush()
    await until(lambda: gateway.metric("ws_publications_total") == 1000, "all publications")
    assert gateway.metric("ws_backlog_events") > 500
    gateway.signal()
    received, close = await client.until_close(answer=True)
    assert assert_told_in_order(received, close) == 1000
    assert await exit_status(gateway) == 0


@on_loop
async def test_clients_that_do_not_answer_are_not_waited_for_long(
    gateway: GatewayProcess, nats_server: NatsServer, keep: Callable[[Client], Client]
) -> None:
    """One is silent, one reads nothing, one has not finished its handshake, one only dialled."""
    silent = keep(await Client.connect(gateway.port))
    deaf = keep(await Client.connect(gateway.port, receive_buffer=4096))
    await deaf.subscribe(EVENT)
    half = keep(await Client.dial(gateway.port))
    await half.send(request()[:30])
    keep(await Client.dial(gateway.port))
    with Publisher(nats_server) as publisher:
        for _ in range(500):
            publisher.publish(EVENT, b'"%s"' % (b"x" * 500))
        publisher.flush()
    await until(lambda: gateway.metric("ws_blocked_connections") == 1, "the socket to be full")
    began = time.monotonic()
    gateway.signal()
    _, close = await silent.until_close()
    assert close.close_code == 1012
    assert await exit_status(gateway) == 0
    assert time.monotonic() - began < STOPPED_WITHIN_S
    assert await half.ended() == b""


@pytest.mark.parametrize("fate", ["kill", "pause"])
@on_loop
async def test_whatever_has_become_of_nats(
    gateway: GatewayProcess,
    nats_server: NatsServer,
    keep: Callable[[Client], Client],
    fate: str,
) -> None:
    client = keep(await Client.connect(gateway.port))
    await client.subscribe(EVENT)
    getattr(nats_server, fate)()
    began = time.monotonic()
    gateway.signal()
    received, close = await client.until_close(answer=True)
    assert close.close_code == 1012
    types = [one.message["type"] for one in received]
    assert sorted(types) in (["reconnect"], ["feed", "reconnect"])
    assert await exit_status(gateway) == 0
    assert time.monotonic() - began < STOPPED_WITHIN_S


@on_loop
async def test_no_new_client_is_accepted_and_late_ones_are_told(
    gateway: GatewayProcess, keep: Callable[[Client], Client]
) -> None:
    first = keep(await Client.connect(gateway.port))
    late = keep(await Client.dial(gateway.port))
    await late.send(request()[:30])
    await until(lambda: gateway.metric("ws_sockets_accepted_total") >= 2, "the late one's socket")
    gateway.signal()
    assert (await first.message())["type"] == "reconnect"
    assert (await first.receive()).close_code == 1012
    with pytest.raises(ConnectionRefusedError):
        await Client.dial(gateway.port)
    await late.send(request()[30:])
    assert (await late.answer()).status == 101
    _, close = await late.until_close(answer=True)
    assert close.close_code == 1012
    await first.send(close_frame(1012))
    assert await exit_status(gateway) == 0


@on_loop
async def test_the_same_port_can_be_had_again_at_once(
    gateway: GatewayProcess, gateway_process: NewGateway, keep: Callable[[Client], Client]
) -> None:
    """Sockets that the gateway closed first linger in the kernel."""
    client = keep(await Client.connect(gateway.port))
    gateway.signal()
    await client.until_close(answer=True)
    assert await exit_status(gateway) == 0
    again = gateway_process(WS_PORT=gateway.port, WS_ADMIN_PORT=gateway.admin_port).start()
    assert again.port == gateway.port
    back = keep(await Client.connect(again.port))
    assert (await back.message())["type"] == "feed"
    back.close()
    assert again.stop() == 0


@on_loop
async def test_a_worker_that_dies_while_it_waits_to_leave_is_replaced_by_one_that_leaves_too(
    nats_server: NatsServer, gateway_process: NewGateway
) -> None:
    """A load balancer that asks on the clients' port must not hear that it is ready again."""
    gateway = gateway_process(
        NATS_URL=nats_server.url, WS_DRAIN_DELAY_S=100, WS_DRAIN_TIMEOUT_S=200
    ).start()
    gateway.until_ready()
    gateway.signal()

    async def reasons() -> str:
        client = await Client.dial(gateway.port)
        try:
            return (await client.ask(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")).body.decode()
        except (Ended, OSError):  # accepted by who was about to die
            return ""
        finally:
            client.close()

    await until(lambda: gateway.get("/readyz")[0] == 503, "it to begin")
    (worker,) = children(gateway.pid)
    os.kill(worker, signal.SIGKILL)
    await until(lambda: children(gateway.pid) not in ([], [worker]), "another worker")
    feed = 'ws_feed_live{source="nats"}'
    await until(lambda: gateway.metrics().get(feed) == 1, "all that it needs to be ready")
    assert '"stopping"' in await reasons()
    gateway.signal()
    assert await exit_status(gateway) == 1
