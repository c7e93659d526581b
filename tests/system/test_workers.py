"""Workers come and go, and clients hardly notice: real processes, killed and replaced."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.client import UPGRADE, Client, request
from tests.support.feed import until
from tests.support.frames import Frame
from tests.support.loop import on_loop
from tests.support.nats import NatsServer, Publisher, nats_server
from tests.support.process import GatewayProcess, gateway_process
from tests.support.processes import children, exists

__all__ = ["gateway_process", "nats_server"]

NewGateway = Callable[..., GatewayProcess]

EVENT = "token.abc.comment"
STATE = "token.abc.update"


def held(gateway: GatewayProcess) -> dict[str, float]:
    """Connections by worker, as the metrics have them."""
    _, text = gateway.get("/metrics")
    lines = [line for line in text.splitlines() if line.startswith("ws_connections_current{")]
    return {line.split('"')[1]: float(line.rsplit(" ", 1)[1]) for line in lines}


async def running(gateway: GatewayProcess) -> GatewayProcess:
    await asyncio.to_thread(gateway.start)
    await asyncio.to_thread(gateway.until_ready)
    # One worker is enough for that: clients of another would hear first that its feed is stale.
    workers = gateway.metric("ws_workers")
    await until(lambda: gateway.metric('ws_feed_live{source="nats"}') == workers, "all feeds")
    return gateway


async def crowd(gateway: GatewayProcess, count: int, *channels: str) -> list[Client]:
    clients = [await Client.connect(gateway.port) for _ in range(count)]
    for client in clients:
        await client.subscribe(*channels)
    return clients


@on_loop
async def test_clients_are_spread_over_the_workers(
    nats_server: NatsServer, gateway_process: NewGateway
) -> None:
    gateway = await running(gateway_process(NATS_URL=nats_server.url, WS_WORKERS=2))
    clients = await crowd(gateway, 1000, STATE)
    shares = held(gateway)
    assert set(shares) == {"0", "1"} and sum(shares.values()) == 1000
    # By chance: six standard deviations of so many throws of a coin.
    assert abs(shares["0"] - 500) < 6 * 0.5 * 1000**0.5
    with Publisher(nats_server) as publisher:
        publisher.publish(STATE, b'"to all"')
        publisher.flush()
    for client in clients:
        assert (await client.message())["data"] == "to all"
        client.close()
    assert gateway.stop() == 0


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked for them")
@pytest.mark.parametrize(("given", "kept"), [(None, b"malloc"), ("pymalloc", b"pymalloc")])
def test_workers_have_small_objects_from_glibc_unless_told_otherwise(
    given: str | None,
    kept: bytes,
    nats_server: NatsServer,
    gateway_process: NewGateway,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PYTHONMALLOC", raising=False)
    chosen = {} if given is None else {"PYTHONMALLOC": given}
    gateway = gateway_process(NATS_URL=nats_server.url, WS_WORKERS=1, **chosen)
    gateway.start()
    gateway.until_ready()
    (worker,) = children(gateway.pid)
    assert b"PYTHONMALLOC=" + kept in Path(f"/proc/{worker}/environ").read_bytes().split(b"\0")
    assert gateway.stop() == 0


@on_loop
async def test_a_worker_that_is_killed_is_replaced_and_others_notice_nothing(
    nats_server: NatsServer, gateway_process: NewGateway
) -> None:
    gateway = await running(gateway_process(NATS_URL=nats_server.url, WS_WORKERS=2))
    clients = await crowd(gateway, 40, EVENT)
    victim, _ = children(gateway.pid)
    seen: list[list[Frame]] = [[] for _ in clients]

    async def hear(client: Client, frames: list[Frame]) -> None:
        try:
            while True:
                frames.append(await client.receive())
        except Exception:
            return

    hearing = [
        asyncio.create_task(hear(client, frames))
        for client, frames in zip(clients, seen, strict=True)
    ]
    published = 0
    stop = asyncio.Event()

    async def publish() -> None:
        nonlocal published
        with Publisher(nats_server) as publisher:
            while not stop.is_set():
                for _ in range(10):
                    publisher.publish(EVENT, b"%d" % published)
                    published += 1
                await asyncio.sleep(0.005)
            publisher.flush()

    publishing = asyncio.create_task(publish())
    await until(lambda: published > 200, "some publications")
    os.kill(victim, signal.SIGKILL)
    await until(lambda: any(task.done() for task in hearing), "the victim's clients to be gone")
    # The kernel hands new ones to either; those of the dead one's queue wait for its successor.
    newcomers = await asyncio.gather(*(Client.connect(gateway.port) for _ in range(20)))
    stop.set()
    await publishing
    await until(lambda: gateway.metric("ws_workers_serving") == 2, "two workers")
    assert gateway.metric("ws_worker_deaths_total") == 1
    survivors = [frames for task, frames in zip(hearing, seen, strict=True) if not task.done()]
    assert 0 < len(survivors) < len(clients)
    for frames in survivors:
        await until(lambda frames=frames: len(frames) == published, "all publications")  # type: ignore[misc]
        assert [json.loads(one.payload)["data"] for one in frames] == list(range(published))
    for client in [*clients, *newcomers]:
        client.close()
    died = [one for one in gateway.log if one["event"] == "a worker died and is replaced"]
    assert [one["exit_status"] for one in died] == [-signal.SIGKILL]
    assert gateway.stop() == 0


@on_loop
async def test_a_worker_that_is_stuck_is_replaced(
    nats_server: NatsServer, gateway_process: NewGateway
) -> None:
    gateway = await running(gateway_process(NATS_URL=nats_server.url, WS_WORKERS=1))
    (stuck,) = children(gateway.pid)
    os.kill(stuck, signal.SIGSTOP)
    try:
        await until(lambda: not exists(stuck), "it to be killed")
    finally:
        if exists(stuck):
            os.kill(stuck, signal.SIGCONT)
    await until(lambda: gateway.metric("ws_workers_serving") == 1, "its successor")
    assert gateway.metric("ws_worker_stuck_total") == 1
    client = await Client.connect(gateway.port)
    client.close()
    assert gateway.stop() == 0


@on_loop
async def test_hangup_replaces_the_workers_and_refuses_nobody(
    nats_server: NatsServer, gateway_process: NewGateway
) -> None:
    gateway = await running(
        gateway_process(NATS_URL=nats_server.url, WS_WORKERS=2, WS_DRAIN_RECONNECTS_PER_S=200)
    )
    before = set(children(gateway.pid))
    entered = 0
    stop = asyncio.Event()

    async def come_and_stay() -> None:
        """As a client does that is sent away: it comes back at once."""
        nonlocal entered
        while not stop.is_set():
            client = await Client.connect(gateway.port)
            entered += 1
            try:
                async with asyncio.timeout(10):
                    received, close = await client.until_close(answer=True)
                assert close.close_code == 1012
                assert "reconnect" in [one.message["type"] for one in received]
            except TimeoutError:
                assert stop.is_set()
            finally:
                client.close()

    async def come_and_go() -> None:
        nonlocal entered
        while not stop.is_set():
            client = await Client.connect(gateway.port)
            entered += 1
            client.close()
            await asyncio.sleep(0)

    staying = [asyncio.create_task(come_and_stay()) for _ in range(50)]
    going = [asyncio.create_task(come_and_go()) for _ in range(5)]
    await until(lambda: entered > 100, "clients")
    gateway.signal(signal.SIGHUP)
    await until(lambda: gateway.metric("ws_worker_restarts_total") == 2, "two new workers")
    await until(lambda: not before & set(children(gateway.pid)), "the old ones to be gone")
    stop.set()
    await asyncio.gather(*going)
    assert len(children(gateway.pid)) == 2
    assert gateway.metric("ws_worker_deaths_total") == 0
    assert gateway.stop() == 0
    await asyncio.gather(*staying)


def could_be_rising(values: list[float], sequences: int, slack: float) -> bool:
    """Whether as many sequences may be mixed in these, none of which falls by more than that."""
    lasts = [0.0] * sequences
    for value in values:
        may_precede = [last for last in lasts if last <= value + slack]
        if not may_precede:
            return False
        lasts.remove(max(may_precede))
        lasts.append(max(value, *may_precede))
    return True


@on_loop
async def test_clients_are_sent_away_evenly(
    nats_server: NatsServer, gateway_process: NewGateway
) -> None:
    gateway = await running(
        gateway_process(NATS_URL=nats_server.url, WS_WORKERS=2, WS_DRAIN_RECONNECTS_PER_S=250)
    )
    clients = await crowd(gateway, 500, STATE)
    began_s = time.monotonic()
    gateway.signal()
    closed: list[float] = []
    served = 0

    async def leave(client: Client, publisher: Publisher) -> None:
        nonlocal served
        received, close = await client.until_close(answer=True)
        client.close()
        (told,) = [one.message for one in received if one.message["type"] == "reconnect"]
        after_s = told["after_ms"] / 1000
        assert close.close_code == 1012
        assert time.monotonic() - began_s >= after_s, "closed before it is to come back"
        served += len(received) - 1
        if not closed:
            publisher.publish(STATE, b'"to all who are left"')
            publisher.flush()
        closed.append(after_s)

    with Publisher(nats_server) as publisher:
        await asyncio.gather(*(leave(client, publisher) for client in clients))
    assert await asyncio.to_thread(gateway.wait) == 0
    assert served > 0, "all were closed at once"
    # 500 at 250 a second: when each was told to come back is a line from 0 to 2 s.
    told = sorted(closed)
    assert told[0] < 0.05 and 1.9 < told[-1] <= 2.1
    for place, after_s in enumerate(told):
        assert abs(after_s - 2.0 * place / 500) < 0.15
    # Neither worker knows how far the other is.
    assert could_be_rising(closed, sequences=2, slack=0.1), "closed in another order"


@on_loop
async def test_who_comes_before_a_load_balancer_knows_is_accepted(
    nats_server: NatsServer, gateway_process: NewGateway
) -> None:
    gateway = await running(
        gateway_process(NATS_URL=nats_server.url, WS_DRAIN_DELAY_S=100, WS_DRAIN_TIMEOUT_S=200)
    )
    gateway.signal()
    await until(lambda: gateway.get("/readyz")[0] == 503, "it to say that it is leaving")
    late = await Client.connect(gateway.port)
    await late.subscribe(STATE)
    with Publisher(nats_server) as publisher:
        publisher.publish(STATE, b'"as ever"')
        publisher.flush()
    assert (await late.message())["data"] == "as ever"
    late.close()


@on_loop
async def test_told_twice_it_ends_at_once(
    nats_server: NatsServer, gateway_process: NewGateway
) -> None:
    gateway = await running(
        gateway_process(
            NATS_URL=nats_server.url, WS_DRAIN_DELAY_S=100, WS_DRAIN_TIMEOUT_S=200, WS_WORKERS=2
        )
    )
    workers = children(gateway.pid)
    client = await Client.connect(gateway.port)
    gateway.signal()
    await until(lambda: gateway.get("/readyz")[0] == 503, "it to begin")
    gateway.signal()
    assert await asyncio.to_thread(gateway.wait) == 1
    assert not any(exists(one) for one in workers)
    client.close()


@on_loop
async def test_workers_end_with_their_supervisor(
    nats_server: NatsServer, gateway_process: NewGateway
) -> None:
    gateway = await running(gateway_process(NATS_URL=nats_server.url, WS_WORKERS=2))
    workers = children(gateway.pid)
    client = await Client.connect(gateway.port)
    gateway.signal(signal.SIGKILL)
    await until(lambda: not any(exists(one) for one in workers), "the workers to be gone")
    _, close = await client.until_close(answer=True)
    assert close.close_code == 1012
    client.close()


@on_loop
async def test_a_limit_counts_over_all_workers(
    nats_server: NatsServer, gateway_process: NewGateway
) -> None:
    gateway = await running(
        gateway_process(NATS_URL=nats_server.url, WS_WORKERS=2, WS_MAX_CONNECTIONS=40)
    )
    clients = [await Client.connect(gateway.port) for _ in range(40)]
    assert all(held(gateway).values()), "not of all workers"
    for _ in range(10):
        client = await Client.dial(gateway.port)
        assert (await client.ask(request())).status == 503
        client.close()
    assert gateway.get("/readyz")[0] == 503
    clients.pop().close()
    await until(lambda: sum(held(gateway).values()) == 39, "one to be gone")
    clients.append(await Client.connect(gateway.port))
    for client in clients:
        client.close()
    assert gateway.stop() == 0


@on_loop
async def test_an_address_has_so_many_connections_over_all_workers(
    nats_server: NatsServer, gateway_process: NewGateway
) -> None:
    limit = 40
    gateway = await running(
        gateway_process(
            NATS_URL=nats_server.url,
            WS_WORKERS=2,
            WS_MAX_CONNECTIONS_PER_ADDRESS=limit,
            WS_TRUSTED_PROXIES="127.0.0.0/8",
        )
    )
    clients: list[Client] = []

    async def status(address: str) -> int:
        """Of a client there, who stays if he is let in."""
        client = await Client.dial(gateway.port)
        answer = await client.ask(request(headers=UPGRADE | {"X-Forwarded-For": address}))
        if answer.status == 101:
            clients.append(client)
        else:
            client.close()
        return answer.status

    async def until_held(count: int) -> None:
        await until(lambda: sum(held(gateway).values()) == count, f"{count} connections")

    assert {await status("192.0.2.1") for _ in range(limit)} == {101}
    assert all(held(gateway).values()), "not of all workers"
    # As many as are asked of either worker, by chance.
    assert {await status("192.0.2.1") for _ in range(10)} == {503}
    assert gateway.metric('ws_handshakes_refused_total{reason="address"}') == 10
    assert await status("192.0.2.2") == 101
    clients.pop().close()
    clients.pop().close()
    await until_held(limit - 1)
    assert await status("192.0.2.1") == 101
    assert await status("192.0.2.1") == 503

    lost = int(held(gateway)["0"])
    started = [one for one in gateway.log if one["event"] == "worker started"]
    (victim,) = (one["pid"] for one in started if one["worker"] == 0)
    os.kill(victim, signal.SIGKILL)
    await until(lambda: gateway.metric("ws_worker_deaths_total") == 1, "its death to be seen")
    await until(lambda: gateway.metric("ws_workers_serving") == 2, "its successor")
    assert {await status("192.0.2.1") for _ in range(lost)} == {101}
    assert await status("192.0.2.1") == 503
    for client in clients:
        client.close()
    await until_held(0)
    assert gateway.stop() == 0


@on_loop
async def test_the_limit_by_address_holds_while_workers_are_replaced(
    nats_server: NatsServer, gateway_process: NewGateway, tmp_path: Path
) -> None:
    """Also when they get another table than those that leave."""
    file = tmp_path / "wsgate.toml"
    file.write_text("ws_max_connections = 100\n")
    gateway = await running(
        gateway_process(
            NATS_URL=nats_server.url,
            WS_CONFIG=file,
            WS_WORKERS=1,
            WS_MAX_CONNECTIONS_PER_ADDRESS=20,
            WS_DRAIN_RECONNECTS_PER_S=0.1,  # its clients may stay for long
        )
    )
    (old,) = children(gateway.pid)
    clients = [await Client.connect(gateway.port) for _ in range(10)]
    file.write_text("ws_max_connections = 5000\n")
    gateway.signal(signal.SIGHUP)
    await until(lambda: gateway.metric("ws_worker_restarts_total") == 1, "a successor")
    clients += [await Client.connect(gateway.port) for _ in range(10)]
    surplus = await Client.dial(gateway.port)
    assert (await surplus.ask(request())).status == 503
    assert exists(old), "its clients are not gone"
    surplus.close()
    for client in clients[:10]:
        client.close()
    await until(lambda: not exists(old), "it to be gone")
    clients += [await Client.connect(gateway.port) for _ in range(10)]
    surplus = await Client.dial(gateway.port)
    assert (await surplus.ask(request())).status == 503
    for client in [*clients, surplus]:
        client.close()
    assert gateway.stop() == 0


@pytest.mark.parametrize("setting", ["WS_PORT", "WS_ADMIN_PORT"])
def test_a_port_that_is_taken_is_named(gateway_process: NewGateway, setting: str) -> None:
    first = gateway_process().start()
    taken = first.port if setting == "WS_PORT" else first.admin_port
    second = gateway_process(**{setting: taken})
    second.launch()
    assert second.wait() == 1
    assert (
        f"cannot listen on 127.0.0.1:{taken} ({setting}): Address already in use" in second.errors
    )
    assert first.stop() == 0


def test_what_keeps_a_worker_from_starting_is_told(
    gateway_process: NewGateway, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.pem"
    keys.write_text("no key at all")
    gateway = gateway_process(WS_AUTH="jwt", WS_JWT_KEYS=keys, WS_WORKERS=2)
    gateway.launch()
    assert gateway.wait() == 1
    assert "WS_JWT_KEYS cannot be used" in gateway.errors
