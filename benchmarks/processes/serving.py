"""NATS and `wsgate serve` with so many workers, all fed: what every scenario begins with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from benchmarks.fanout import probe
from benchmarks.fanout.gateway import Gateway, gateway
from benchmarks.fanout.trial import Bench
from benchmarks.processes.pages import page

ROOM = 100
"""For who looks on."""


@contextmanager
def serving(
    bench: Bench, workers: int, connections: int, settings: Mapping[str, str] | None = None
) -> Iterator[tuple[Gateway, int]]:
    """The gateway, and the port of the NATS server."""
    all_settings = {
        "WS_WORKERS": str(workers),
        "WS_MAX_CONNECTIONS": str(connections + ROOM),
        **(settings or {}),
    }
    with bench.nats() as nats_port, gateway(bench, nats_port, all_settings) as server:
        # It is ready once one worker is; clients of another are told that their feed is stale.
        fed = lambda: page(server).total("ws_feed_live") == workers  # noqa: E731
        probe.wait_until("fed, all of it", fed, server.child)
        yield server, nats_port


def until_left(server: Gateway) -> None:
    """No client is there any more."""
    empty = lambda: not page(server).total("ws_connections_current")  # noqa: E731
    probe.wait_until("left by all", empty, server.child)
