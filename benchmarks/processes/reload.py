"""SIGHUP under load: does anybody who comes, or comes back, find the door closed?"""

from __future__ import annotations

import math
import os
import signal
import time
from collections import Counter
from dataclasses import dataclass

from benchmarks.fanout import probe
from benchmarks.fanout.gateway import Gateway
from benchmarks.fanout.trial import Bench
from benchmarks.processes.callers import calling
from benchmarks.processes.figures import Figure, exactly, fault
from benchmarks.processes.outcome import Outcome, crowd
from benchmarks.processes.pages import page, resets, watching
from benchmarks.processes.serving import serving
from benchmarks.processes.settling import settled
from benchmarks.processes.traffic import in_turn
from benchmarks.processes.workers import workers

WORKERS = 2
RELOAD_S = 90
WATCHED_PER_S = 5
LET_IN = "subscribed"


@dataclass(frozen=True)
class Sizes:
    connections: int
    rate: float
    reconnects_per_s: int
    before_s: float


FULL = Sizes(connections=5000, rate=10, reconnects_per_s=1000, before_s=3)
SHORT = Sizes(connections=200, rate=5, reconnects_per_s=400, before_s=0.5)


def run(bench: Bench, short: bool) -> list[Figure]:
    sizes = SHORT if short else FULL
    scenario = in_turn("reload", sizes.connections, sizes.rate)
    settings = {"WS_DRAIN_RECONNECTS_PER_S": str(sizes.reconnects_per_s)}
    count = math.ceil(sizes.rate * (2 * RELOAD_S + sizes.before_s))
    # Who moves is there twice for a moment.
    with (
        serving(bench, WORKERS, 2 * sizes.connections, settings) as (server, nats_port),
        crowd(bench, scenario, server.port, moves=True) as moving,
        bench.publisher(scenario, nats_port, count, sizes.rate) as publisher,
        watching(server, WATCHED_PER_S) as watch,
        calling(server.port) as callers,
    ):
        time.sleep(sizes.before_s)
        old = workers(server.child.pid)
        began_s = time.monotonic()
        os.kill(server.child.pid, signal.SIGHUP)
        _until_replaced(server, old)
        took_s = time.monotonic() - began_s
        callers.stop()
        back = lambda: moving.ask("mark")["subscribed"] == sizes.connections  # noqa: E731
        probe.wait_until("reached by all again", back, server.child)
        time.sleep(2 / sizes.rate)  # once more for who came last, and was away just before
        publisher.say("stop")
        publisher.event("done", 30)
        settled(lambda: moving.ask("mark")["deliveries"])
        outcome = Outcome.of(moving)
        # Those that were left are closed by now, too.
        held = settled(lambda: page(server).total("ws_connections_current"))
        new = workers(server.child.pid) - old
    totals = outcome.totals
    failures = Counter(totals["outcomes"]) + callers.failures
    let_in = failures.pop(LET_IN)
    sent_on = sum(n for how, n in failures.items() if how.startswith("closed"))
    reached = outcome.last_before(math.inf)
    return [
        fault(
            "refused",
            failures.total() - sent_on,
            "attempts refused, reset, or answered with anything but 101",
        ),
        Figure("let_in", let_in, "attempts of the crowd that were let in"),
        Figure("sent_on", sent_on, "upgraded, and closed with 1012 before they had subscribed"),
        Figure("calls", len(callers.calls), "clients that came and went meanwhile"),
        Figure(
            "wait_max_s",
            max(totals["longest_s"], callers.longest_s()),
            "longest from connect to `subscribed`",
            at_most=1,
        ),
        exactly("subscribed", totals["subscribed"], sizes.connections, "clients, in the end"),
        exactly("held", held, sizes.connections, "connections that the new workers have then"),
        exactly("workers_new", len(new), WORKERS, "processes that were not there before"),
        Figure("took_s", took_s, "from SIGHUP until the last old worker was gone"),
        fault("faults", outcome.faults, "on a connection: lost, out of order, twice, damaged"),
        fault("behind", _behind(outcome, reached), "clients without the last of their channel"),
        Figure(
            "holes", _holes(outcome), "between two connections of a client, with no recovery yet"
        ),
        fault("cut", _cut(totals["ends"]), "connections that ended without a CLOSE"),
        fault(
            "counters_back",
            len(resets(watch.pages()).unsaid),
            "series that went back in one process's life",
        ),
    ]


def _until_replaced(server: Gateway, old: set[int]) -> None:
    def restarted() -> bool:
        return page(server).total("ws_worker_restarts_total") == WORKERS

    probe.wait_until("restarted", restarted, server.child, RELOAD_S)
    gone = lambda: not old & workers(server.child.pid)  # noqa: E731
    probe.wait_until("rid of its old workers", gone, server.child, RELOAD_S)


def _behind(outcome: Outcome, reached: dict[int, int]) -> int:
    return sum(one.last < reached.get(one.channel, 0) for one in outcome.clients)


def _holes(outcome: Outcome) -> int:
    return sum(one.holes() for one in outcome.clients)


def _cut(ends: dict[str, int]) -> int:
    return sum(n for how, n in ends.items() if not how.startswith("closed"))
