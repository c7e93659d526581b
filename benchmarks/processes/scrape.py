"""What Prometheus costs: CPU of workers and supervisor for one scrape.

Each is measured by itself, between two looks at the CPU while nothing else is done, and right after
publications were sent to all clients, so that it finds the caches as they are under load. What the
same time costs without a scrape is taken off.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from benchmarks.fanout import probe
from benchmarks.fanout.gateway import Gateway
from benchmarks.fanout.scenarios import Scenario
from benchmarks.fanout.trial import READY_S, Bench, Clients
from benchmarks.processes.figures import Figure, Kind, fault
from benchmarks.processes.pages import page
from benchmarks.processes.serving import serving
from benchmarks.processes.traffic import one_channel
from benchmarks.processes.workers import Cpu, cpu

WORKERS = 2
SHARE_MAX = 0.01
QUIET_S = 0.05
"""After the answer, for what a process does behind it; and before, behind the deliveries."""
US_PER_S = 1e6
PUBLICATIONS = 3
"""Between two measurements."""


@dataclass(frozen=True)
class Sizes:
    connections: int
    channels: int
    scrapes: int


FULL = Sizes(connections=1000, channels=10_000, scrapes=100)
SHORT = Sizes(connections=50, channels=100, scrapes=5)


def run(bench: Bench, short: bool) -> list[Figure]:
    sizes = SHORT if short else FULL
    busy = one_channel("scrape", sizes.connections, rate=100)
    known = replace(busy, channels="token.k%05u.comment", per_template=sizes.channels, rate=1)
    with serving(bench, WORKERS, sizes.connections) as (server, nats_port):
        with bench.publisher(known, nats_port, count=1, rate=1) as publisher:
            publisher.event("done", 60)
        with bench.clients(busy, server.port, sizes.connections, idle=True) as clients:
            clients.ready(READY_S)
            wanted = WORKERS * (sizes.channels + 1)
            told = lambda: page(server).total("ws_channels_current") >= wanted  # noqa: E731
            probe.wait_until("aware of the channels", told, server.child)
            size = len(server.page())
            used = {True: Cpu(0, 0), False: Cpu(0, 0)}
            for turn in range(2 * sizes.scrapes):
                scraped = turn % 2 == 0
                _deliver(bench, busy, nats_port, clients, turn)
                used[scraped] += _measured(server, scraped)
            end = clients.mark()
    scrape = used[True] - used[False]
    workers_us, supervisor_us = (
        scrape.workers_us / sizes.scrapes,
        scrape.supervisor_us / sizes.scrapes,
    )
    return [
        Figure("workers_ms", workers_us / 1000, "of all workers, for a scrape", Kind.COST),
        Figure("supervisor_ms", supervisor_us / 1000, "of the supervisor, beside it", Kind.COST),
        Figure(
            "core_share",
            (workers_us + supervisor_us) / US_PER_S,
            "of a core, scraped once a second",
            Kind.COST,
            at_most=SHARE_MAX,
        ),
        Figure(
            "quiet_ms", used[False].workers_us / sizes.scrapes / 1000, "taken off: without a scrape"
        ),
        Figure("page_kb", size / 1024, "of text"),
        fault("gone", end["gone"], "connections that ended"),
    ]


def _deliver(bench: Bench, scenario: Scenario, nats_port: int, clients: Clients, turn: int) -> None:
    """Something to everybody; returns when it is over."""
    first = 1 + turn * PUBLICATIONS
    with bench.publisher(scenario, nats_port, PUBLICATIONS, scenario.rate, first) as publisher:
        publisher.event("done", 30)
    due = (turn + 1) * PUBLICATIONS * scenario.connections
    arrived = lambda: clients.mark()["deliveries"] >= due  # noqa: E731
    probe.wait_until("heard by all", arrived, clients.children[0])
    time.sleep(QUIET_S)


def _measured(server: Gateway, scraped: bool) -> Cpu:
    before = cpu(server.child.pid)
    if scraped:
        server.page()
    time.sleep(QUIET_S)
    return cpu(server.child.pid) - before
