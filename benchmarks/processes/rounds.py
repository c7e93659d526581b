"""Crowds that come, get something and leave, again and again: does memory come back?"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.fanout.trial import READY_S, Bench
from benchmarks.processes.figures import Figure, fault
from benchmarks.processes.serving import serving, until_left
from benchmarks.processes.settling import settled
from benchmarks.processes.traffic import one_channel
from benchmarks.processes.workers import workers_pss_kb

WORKERS = 2
GROWTH_MAX = 0.05
STEADY_SHARE = 0.001


@dataclass(frozen=True)
class Sizes:
    connections: int
    rounds: int
    publications: int
    rate: float


FULL = Sizes(connections=10_000, rounds=10, publications=5, rate=5)
SHORT = Sizes(connections=200, rounds=3, publications=3, rate=10)


def run(bench: Bench, short: bool) -> list[Figure]:
    sizes = SHORT if short else FULL
    scenario = one_channel("rounds", sizes.connections, sizes.rate)
    held_mb = []
    lost = 0
    with serving(bench, WORKERS, sizes.connections) as (server, nats_port):
        look = lambda: workers_pss_kb(server.child.pid) / 1024  # noqa: E731
        empty_mb = settled(look, STEADY_SHARE)
        for turn in range(sizes.rounds):
            first = 1 + turn * sizes.publications
            count = sizes.publications
            with bench.clients(scenario, server.port, sizes.connections, idle=True) as clients:
                clients.ready(READY_S)
                with bench.publisher(scenario, nats_port, count, sizes.rate, first) as publisher:
                    publisher.event("done", count / sizes.rate + 30)
                end = clients.finish(count * sizes.connections)
                lost += count * sizes.connections - end["deliveries"] + end["damaged"]
            until_left(server)
            held_mb.append(settled(look, STEADY_SHARE))
    meaning = "MB (PSS) of the workers after everybody left"
    return [
        Figure("mb_before", empty_mb, "MB (PSS) of the workers before anybody came"),
        *(Figure(f"mb, round {turn}", mb, meaning) for turn, mb in enumerate(held_mb, 1)),
        Figure(
            "growth_share",
            held_mb[-1] / held_mb[0] - 1,
            "from the first round to the last",
            at_most=GROWTH_MAX,
        ),
        fault("lost", lost, "deliveries, over all rounds"),
    ]
