"""Clients to whom nothing is sent but pings: what does one cost?"""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks.fanout.gateway import Gateway
from benchmarks.fanout.sample import disturbance
from benchmarks.fanout.trial import READY_S, Bench
from benchmarks.processes.figures import Figure, Kind, doubt, fault
from benchmarks.processes.pages import page
from benchmarks.processes.serving import serving
from benchmarks.processes.traffic import one_channel
from benchmarks.processes.workers import cpu

WORKERS = 2
"""A process may hold 20,000 descriptors on many machines."""
PING_INTERVAL_S = 25
COST_US_MAX = 1.0
SETTLE_S = 1
"""For what was begun before, such as a page of metrics."""


@dataclass(frozen=True)
class Sizes:
    """A connection is looked at once an interval, at a moment of its own, from the end of its first
    interval on. One that was silent is pinged, and its pong spares it the next ping: so nothing is
    steady before two intervals are over, and two are what has to be measured."""

    connections: int
    alone_s: float
    until_steady_s: float
    seconds: float


FULL = Sizes(20_000, 20, until_steady_s=2 * PING_INTERVAL_S, seconds=4 * PING_INTERVAL_S)
SHORT = Sizes(200, 1, until_steady_s=0.5, seconds=1)


def run(bench: Bench, short: bool) -> list[Figure]:
    sizes = SHORT if short else FULL
    scenario = one_channel("idle", sizes.connections, 1)
    with serving(bench, WORKERS, sizes.connections) as (server, _):
        time.sleep(SETTLE_S)
        alone = _share(server, sizes.alone_s)
        with bench.clients(scenario, server.port, sizes.connections, idle=True) as clients:
            clients.ready(READY_S)
            time.sleep(sizes.until_steady_s)
            replies = page(server).total("ws_replies_sent_total")
            time.sleep(SETTLE_S)
            before, began = cpu(server.child.pid), bench.sample(server.child)
            time.sleep(sizes.seconds)
            used, ended = cpu(server.child.pid) - before, bench.sample(server.child)
            replies = page(server).total("ws_replies_sent_total") - replies
            end = clients.mark()
    span_s = ended.at_s - began.at_s
    each = sizes.connections * span_s
    return [
        Figure(
            "cpu_us",
            used.workers_us / each,
            "of all workers, for a connection and second",
            Kind.COST,
            at_most=COST_US_MAX,
        ),
        Figure(
            "supervisor_us", used.supervisor_us / each, "of the supervisor, beside it", Kind.COST
        ),
        Figure("cpu_share", used.workers_us / span_s / 1e6, "of a core, all workers", Kind.COST),
        Figure("cpu_share_alone", alone, "the same before anybody came", Kind.COST),
        Figure("pings", replies / sizes.connections, "that a connection got in that time"),
        Figure("seconds", span_s, "measured"),
        fault("gone", end["gone"], "connections that ended"),
        fault("deliveries", end["deliveries"], "to clients that should be idle"),
        doubt(
            "disturbance", disturbance(began, ended)[0], 0.1, "share of the core that others used"
        ),
    ]


def _share(server: Gateway, seconds: float) -> float:
    before, began_s = cpu(server.child.pid), time.monotonic()
    time.sleep(seconds)
    used = cpu(server.child.pid) - before
    return used.workers_us / 1e6 / (time.monotonic() - began_s)
