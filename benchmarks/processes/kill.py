"""A worker is killed outright: what do clients of the other notice, and how long is it away?"""

from __future__ import annotations

import math
import os
import signal
import time
from dataclasses import dataclass

from benchmarks.fanout.child import Failure
from benchmarks.fanout.sample import disturbance
from benchmarks.fanout.trial import READY_S, Bench, quantile
from benchmarks.processes.callers import calling
from benchmarks.processes.figures import Figure, doubt, exactly, fault
from benchmarks.processes.pages import Page, page, resets, watching
from benchmarks.processes.serving import serving
from benchmarks.processes.traffic import one_channel
from benchmarks.processes.workers import workers

WATCHED_PER_S = 10
AWAY_S = 1.0
COUNTED = ("lost", "reordered", "duplicates", "damaged", "unasked")


@dataclass(frozen=True)
class Sizes:
    connections: int
    rate: float
    before_s: float
    """Ten and more: who dies younger is not replaced at once, lest it dies again and again."""
    after_s: float


FULL = Sizes(connections=5000, rate=10, before_s=10, after_s=10)
SHORT = Sizes(connections=200, rate=10, before_s=0.5, after_s=2)


def run(bench: Bench, short: bool) -> list[Figure]:
    sizes = SHORT if short else FULL
    scenario = one_channel("kill", sizes.connections, sizes.rate)
    count = math.ceil(sizes.rate * (sizes.before_s + sizes.after_s))
    with (
        serving(bench, 2, sizes.connections) as (server, nats_port),
        bench.clients(scenario, server.port, sizes.connections) as clients,
    ):
        clients.ready(READY_S)
        before = page(server)
        with (
            bench.publisher(scenario, nats_port, count, sizes.rate) as publisher,
            watching(server, WATCHED_PER_S) as watch,
            calling(server.port) as callers,
        ):
            time.sleep(sizes.before_s)
            clients.mark()
            victim = min(workers(server.child.pid))
            killed_s = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            while victim in workers(server.child.pid):
                time.sleep(0.005)
            began = bench.sample(server.child)
            time.sleep(1.5 * AWAY_S)
            others = disturbance(began, bench.sample(server.child))[0]
            publisher.event("done", sizes.before_s + sizes.after_s + 30)
        end = clients.finish(count * sizes.connections)
        looks = watch.pages()
        after = page(server)
    number = _replaced(before, after)
    held = before.of_workers("ws_connections_current")[number]
    new = _first_serving(looks, before, number)
    again_s, start_cpu_s = math.inf, math.inf
    if new is not None:
        again_s = new.at_s - killed_s
        start_cpu_s = new.of_workers("process_cpu_seconds_total")[number]
    counted = resets([*looks, after])
    missing = count * (sizes.connections - end["gone"]) - end["live_deliveries"]
    return [
        *(fault(name, end[name], f"deliveries {name}, to whomever") for name in COUNTED),
        fault("missing", missing + end["duplicates"], "owed to those who stayed, and never came"),
        Figure("gone", end["gone"], "connections that ended"),
        fault("gone_wrongly", abs(end["gone"] - held), "fewer or more than the killed worker had"),
        Figure(
            "accepting_s",
            callers.longest_s(killed_s),
            "longest that a client had to try",
            at_most=AWAY_S,
        ),
        Figure("replaced_s", again_s, "until metrics show another that accepts", at_most=AWAY_S),
        Figure("start_cpu_s", start_cpu_s, "CPU that this one had used by then"),
        doubt("disturbance", others, 0.1, "share of the core that others used meanwhile"),
        Figure("calls", len(callers.calls), "clients that came and went meanwhile"),
        Figure("calls_cut", callers.failures.total(), "attempts of those that the kill cut off"),
        exactly("deaths", after.total("ws_worker_deaths_total"), 1, "that the gateway says"),
        fault("counters_back", len(counted.unsaid), "series that went back in one process's life"),
        Figure("counters_anew", counted.said, "that began anew, and the start time says so"),
        Figure("looks", len(looks), f"at /metrics, {WATCHED_PER_S} a second"),
        fault("looks_failed", watch.failures, "... that had no answer"),
        Figure(
            "p99_ms", quantile(end["latency_us"], 0.99) / 1000, "from the kill on, of deliveries"
        ),
        Figure("latest_ms", max(end["latency_us"]) / 1000, "the slowest of them"),
    ]


def _replaced(before: Page, after: Page) -> str:
    then = before.of_workers("process_start_time_seconds")
    now = after.of_workers("process_start_time_seconds")
    changed = [number for number, began_s in then.items() if now.get(number) != began_s]
    if len(changed) != 1:
        raise Failure(f"not one worker is another: {then} became {now}")
    return changed[0]


def _first_serving(pages: list[Page], before: Page, number: str) -> Page | None:
    """The first page that shows another process there, with clients accepted by it."""
    began_s = before.of_workers("process_start_time_seconds")[number]
    for one in pages:
        anew = one.of_workers("process_start_time_seconds").get(number, began_s) != began_s
        if anew and one.of_workers("ws_sockets_accepted_total").get(number):
            return one
    return None
