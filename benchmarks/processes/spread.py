"""Two workers: how evenly do clients come to them, and what more does a delivery cost?"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from benchmarks.fanout.child import Failure
from benchmarks.fanout.sample import disturbance
from benchmarks.fanout.scenarios import Scenario
from benchmarks.fanout.trial import READY_S, Bench
from benchmarks.processes.figures import Figure, Kind, doubt, fault
from benchmarks.processes.pages import page
from benchmarks.processes.serving import serving, until_left
from benchmarks.processes.traffic import one_channel
from benchmarks.processes.workers import Cpu, cpu

WORKERS = 2
SHARE_MAX = 0.1
COST_RATIO_MAX = 1.1


@dataclass(frozen=True)
class Sizes:
    connections: int
    rounds: int
    rate: float
    warmup_s: float
    seconds: float


FULL = Sizes(connections=10_000, rounds=5, rate=5, warmup_s=3, seconds=20)
SHORT = Sizes(connections=200, rounds=2, rate=10, warmup_s=0.5, seconds=1)


@dataclass(frozen=True)
class Cost:
    cpu: Cpu
    deliveries: int
    lost: int
    client_busy_share: float
    disturbance_share: float

    @property
    def workers_us(self) -> float:
        return self.cpu.workers_us / self.deliveries


def run(bench: Bench, short: bool) -> list[Figure]:
    sizes = SHORT if short else FULL
    figures = _shares(bench, sizes)
    # One after the other, so that with several runs what drifts hits both alike.
    one, two = (_cost(bench, sizes, count) for count in (1, WORKERS))
    for what, cost in (("1 worker", one), ("2 workers", two)):
        supervisor_us = cost.cpu.supervisor_us / cost.deliveries
        figures += [
            Figure("cpu_us", cost.workers_us, "of all workers, for a delivery", Kind.COST).of(what),
            Figure("supervisor_us", supervisor_us, "of the supervisor, beside it").of(what),
            fault("lost", cost.lost, "deliveries lost, out of order or damaged").of(what),
            doubt("client_busy", cost.client_busy_share, 0.9, "share; near 1 it limits").of(what),
            doubt("disturbance", cost.disturbance_share, 0.1, "others, on that core").of(what),
        ]
    ratio = two.workers_us / one.workers_us
    meaning = "two workers' CPU for a delivery by one's, on the same core"
    return [*figures, Figure("cpu_ratio", ratio, meaning, Kind.COST, at_most=COST_RATIO_MAX)]


def _shares(bench: Bench, sizes: Sizes) -> list[Figure]:
    figures = []
    even = sizes.connections / WORKERS
    with serving(bench, WORKERS, sizes.connections) as (server, _):
        for turn in range(1, sizes.rounds + 1):
            with bench.clients(_scenario(sizes), server.port, sizes.connections) as clients:
                clients.ready(READY_S)
                held = page(server).of_workers("ws_connections_current")
            away = max(abs(count - even) for count in held.values()) / even
            both = " and ".join(f"{count:,.0f}" for count in held.values())
            figures.append(
                Figure(
                    f"off_share, round {turn}",
                    away,
                    f"off the even share: {both}",
                    at_most=SHARE_MAX,
                )
            )
            until_left(server)
    return figures


def _cost(bench: Bench, sizes: Sizes, worker_count: int) -> Cost:
    scenario = _scenario(sizes)
    seconds = sizes.warmup_s + sizes.seconds + 1
    count = math.ceil(sizes.rate * seconds)
    with (
        serving(bench, worker_count, sizes.connections) as (server, nats_port),
        bench.clients(scenario, server.port, sizes.connections) as clients,
    ):
        clients.ready(READY_S)
        with bench.publisher(scenario, nats_port, count, sizes.rate) as publisher:
            time.sleep(sizes.warmup_s)
            first, before, began = clients.mark(), cpu(server.child.pid), bench.sample(server.child)
            time.sleep(sizes.seconds)
            last, after, ended = clients.mark(), cpu(server.child.pid), bench.sample(server.child)
            publisher.event("done", seconds + 30)
        end = clients.finish(count * sizes.connections)
    deliveries = last["deliveries"] - first["deliveries"]
    if not deliveries:
        raise Failure("nothing was delivered")
    faults = sum(end[name] for name in ("reordered", "duplicates", "damaged", "unasked", "gone"))
    return Cost(
        after - before,
        deliveries,
        count * sizes.connections - end["deliveries"] + faults,
        (last["busy_s"] - first["busy_s"]) / (ended.at_s - began.at_s),
        disturbance(began, ended)[0],
    )


def _scenario(sizes: Sizes) -> Scenario:
    return one_channel("spread", sizes.connections, sizes.rate)
