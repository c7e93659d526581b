"""Workers are replaced while something else happens: none is forgotten, nor its clients."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.client import Client
from tests.support.feed import until
from tests.support.issuer import public_key, public_pem
from tests.support.loop import on_loop
from tests.support.process import GatewayProcess, gateway_process
from tests.support.process import until as wait_until
from tests.support.processes import children

__all__ = ["gateway_process"]  # a fixture

NewGateway = Callable[..., GatewayProcess]

REPLACED = "all workers were replaced"
READ_ANEW = "the settings were read anew"


def replaced_again(gateway: GatewayProcess) -> None:
    before = len(gateway.logged(REPLACED))
    gateway.signal(signal.SIGHUP)
    wait_until(lambda: len(gateway.logged(REPLACED)) > before, "other workers")


def test_a_worker_that_dies_while_its_successor_starts(gateway_process: NewGateway) -> None:
    gateway = gateway_process(WS_WORKERS=1).start()
    for turn in range(3):  # a line of the board that is lost would be missed in the second round
        (old,) = children(gateway.pid)
        gateway.signal(signal.SIGHUP)
        wait_until(lambda: len(children(gateway.pid)) == 2, "a successor that starts")
        os.kill(old, signal.SIGKILL)
        wait_until(lambda turn=turn: len(gateway.logged(REPLACED)) > turn, "the end of that")
    replaced_again(gateway)  # so that a second one, if there were, had had the time to serve
    assert len(children(gateway.pid)) == 1
    assert gateway.metric("ws_workers_serving") == 1
    assert gateway.stop() == 0


def test_settings_with_which_no_worker_starts_are_not_kept(
    gateway_process: NewGateway, tmp_path: Path
) -> None:
    good, bad, file = tmp_path / "good.pem", tmp_path / "bad.pem", tmp_path / "wsgate.toml"
    good.write_bytes(public_pem(public_key("ES256")))
    bad.write_text("no key at all")  # which only workers look at
    file.write_text(f'ws_auth = "jwt"\nws_jwt_keys = "{good}"\n')
    gateway = gateway_process(WS_CONFIG=file, WS_WORKERS=1).start()
    file.write_text(f'ws_auth = "jwt"\nws_jwt_keys = "{bad}"\n')
    gateway.signal(signal.SIGHUP)
    wait_until(lambda: len(gateway.logged("a worker was not replaced")), "the news of that")
    (worker,) = children(gateway.pid)
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: len(gateway.logged("worker started")) == 2, "another worker as before")
    assert len(gateway.logged("a worker could not start")) == 0
    file.write_text(f'ws_auth = "jwt"\nws_jwt_keys = "{good}"\n')
    replaced_again(gateway)
    assert gateway.stop() == 0


def test_of_several_hangups_the_last_counts(gateway_process: NewGateway, tmp_path: Path) -> None:
    file = tmp_path / "wsgate.toml"

    def allow(origin: str) -> None:
        file.write_text(f'ws_allowed_origins = ["{origin}"]\n')

    allow("https://first.example")
    gateway = gateway_process(WS_CONFIG=file, WS_WORKERS=1).start()
    for origin in ("https://second.example", "https://third.example", "https://fourth.example"):
        allow(origin)
        told = len(gateway.logged(READ_ANEW))
        gateway.signal(signal.SIGHUP)
        wait_until(lambda told=told: len(gateway.logged(READ_ANEW)) > told, "it")
    wait_until(lambda: len(gateway.logged(REPLACED)) == 2, "the second round, for both that waited")
    assert gateway.asked_from("https://third.example") == 403
    assert gateway.asked_from("https://fourth.example") == 101
    assert gateway.stop() == 0


@on_loop
async def test_who_is_leaving_is_not_forgotten_at_the_end(gateway_process: NewGateway) -> None:
    """SIGTERM while a worker sends its clients away goes on with that."""
    gateway = gateway_process(WS_WORKERS=1, WS_DRAIN_RECONNECTS_PER_S=40)
    await asyncio.to_thread(gateway.start)
    clients = [await Client.connect(gateway.port) for _ in range(80)]
    began_s = time.monotonic()
    gateway.signal(signal.SIGHUP)
    await until(lambda: len(gateway.logged("worker started")) == 2, "the successor")
    gateway.signal()

    async def leave(client: Client) -> None:
        received, close = await client.until_close(answer=True)
        client.close()
        (told,) = [one.message for one in received if one.message["type"] == "reconnect"]
        assert close.close_code == 1012
        after_s = told["after_ms"] / 1000
        assert time.monotonic() - began_s >= after_s, "closed before it is to come back"

    await asyncio.gather(*(leave(client) for client in clients))
    assert await asyncio.to_thread(gateway.wait) == 0
