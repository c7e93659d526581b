"""Past what all workers may use, new clients are told to go elsewhere; who is there stays."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable

from tests.support.client import Client, request
from tests.support.feed import until
from tests.support.loop import on_loop
from tests.support.nats import NatsServer, Publisher, nats_server
from tests.support.process import GatewayProcess, gateway_process

__all__ = ["gateway_process", "nats_server"]

EVENT = "token.abc.comment"
MB = 1024 * 1024


@on_loop
async def test_past_the_memory_limit_nobody_new_is_let_in(
    nats_server: NatsServer, gateway_process: Callable[..., GatewayProcess]
) -> None:
    """A client that reads nothing is owed more and more, and given up in the end."""
    gateway = gateway_process(NATS_URL=nats_server.url, WS_MAX_BACKLOG_BYTES=64 * MB).start()
    gateway.until_ready()
    await until(lambda: gateway.metric("ws_memory_in_use_bytes") > 0, "the first look")
    base = int(gateway.metric("ws_memory_in_use_bytes"))
    assert gateway.stop() == 0
    gateway = gateway_process(
        NATS_URL=nats_server.url,
        WS_MAX_BACKLOG_BYTES=64 * MB,
        WS_MEMORY_LIMIT=base + 20 * MB,
    ).start()
    gateway.until_ready()
    hungry = await Client.connect(gateway.port, receive_buffer=4096)
    await hungry.subscribe(EVENT)
    with Publisher(nats_server) as publisher:
        for _ in range(400):
            publisher.publish(EVENT, b'"%s"' % (b"x" * 100_000))
        publisher.flush()
    await until(lambda: gateway.metric("ws_overloaded") == 1, "the limit to be passed")
    newcomer = await Client.dial(gateway.port)
    assert (await newcomer.ask(request())).status == 503
    newcomer.close()
    assert gateway.get("/readyz")[0] == 503
    assert "WS_MEMORY_LIMIT" in gateway.get("/readyz")[1]
    assert gateway.metric('ws_handshakes_refused_total{reason="overload"}') == 1
    assert gateway.metric("ws_connections_current") == 1, "who is there stays"
    hungry.close()
    await until(lambda: gateway.metric("ws_overloaded") == 0, "it to fall again")
    assert gateway.get("/readyz")[0] == 200
    newcomer = await Client.connect(gateway.port)
    newcomer.close()
    assert gateway.stop() == 0


@on_loop
async def test_a_worker_that_stands_still_does_not_hide_what_the_others_use(
    nats_server: NatsServer, gateway_process: Callable[..., GatewayProcess]
) -> None:
    settings = {"NATS_URL": nats_server.url, "WS_WORKERS": 2, "WS_MAX_BACKLOG_BYTES": 64 * MB}
    gateway = gateway_process(**settings).start()
    gateway.until_ready()
    await until(lambda: gateway.metric("ws_memory_in_use_bytes") > 0, "the first look")
    base = int(gateway.metric("ws_memory_in_use_bytes"))
    assert gateway.stop() == 0
    gateway = gateway_process(**settings, WS_MEMORY_LIMIT=base + 20 * MB).start()
    await until(lambda: gateway.metric('ws_feed_live{source="nats"}') == 2, "both feeds")
    hungry = await Client.connect(gateway.port, receive_buffer=4096)
    await hungry.subscribe(EVENT)
    empty = re.search(
        r'^ws_connections_current\{worker="(\d)"\} 0(\.0)?$',
        gateway.get("/metrics")[1],
        re.MULTILINE,
    )
    assert empty is not None
    started = [one for one in gateway.log if one["event"] == "worker started"]
    (idle,) = [one["pid"] for one in started if one["worker"] == int(empty[1])]
    os.kill(idle, signal.SIGSTOP)
    try:
        with Publisher(nats_server) as publisher:
            for _ in range(400):
                publisher.publish(EVENT, b'"%s"' % (b"x" * 100_000))
            publisher.flush()
        told = "overloaded: new clients are refused"
        await until(lambda: any(one["event"] == told for one in gateway.log), "the limit's news")
        assert "a worker is stuck and is killed" not in [one["event"] for one in gateway.log]
    finally:
        os.kill(idle, signal.SIGCONT)
    hungry.close()
    assert gateway.stop() == 0
