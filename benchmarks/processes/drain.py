"""SIGTERM while events are published: who is told what, closed when, and what did he get before?"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import time
from dataclasses import dataclass

from benchmarks.fanout.child import Child, Failure
from benchmarks.fanout.trial import Bench
from benchmarks.processes.figures import Figure, exactly, fault
from benchmarks.processes.outcome import Outcome, crowd, fullest_bin, unevenness
from benchmarks.processes.serving import serving
from benchmarks.processes.traffic import in_turn

BIN_S = 0.1
SHARES_MAX = 2.0
SERVICE_RESTART = 1012


@dataclass(frozen=True)
class Sizes:
    connections: int
    rate: float
    reconnects_per_s: int
    delay_s: float
    deadline_s: float
    before_s: float


FULL = Sizes(10_000, rate=5, reconnects_per_s=1000, delay_s=1, deadline_s=60, before_s=3)
SHORT = Sizes(200, rate=5, reconnects_per_s=400, delay_s=0.2, deadline_s=20, before_s=0.5)


def run(bench: Bench, short: bool) -> list[Figure]:
    sizes = SHORT if short else FULL
    one = [figure.of("1 worker") for figure in _drain(bench, sizes, 1)]
    return one + [figure.of("2 workers") for figure in _drain(bench, sizes, 2)]


def _drain(bench: Bench, sizes: Sizes, worker_count: int) -> list[Figure]:
    scenario = in_turn("drain", sizes.connections, sizes.rate)
    settings = {
        "WS_DRAIN_DELAY_S": str(sizes.delay_s),
        "WS_DRAIN_TIMEOUT_S": str(sizes.deadline_s),
        "WS_DRAIN_RECONNECTS_PER_S": str(sizes.reconnects_per_s),
    }
    count = math.ceil(sizes.rate * (sizes.before_s + sizes.deadline_s + 30))
    with (
        serving(bench, worker_count, sizes.connections, settings) as (server, nats_port),
        crowd(bench, scenario, server.port, moves=False) as staying,
        bench.publisher(scenario, nats_port, count, sizes.rate),
    ):
        time.sleep(sizes.before_s)
        began_s = time.monotonic()
        os.kill(server.child.pid, signal.SIGTERM)
        status = _status(server.child, sizes.deadline_s + 10)
        took_s = time.monotonic() - began_s
        outcome = Outcome.of(staying)
    told = [after_ms / 1000 for one in outcome.clients for _, after_ms in one.told]
    closed = [
        at_s for one in outcome.clients for at_s, code in one.closed if code == SERVICE_RESTART
    ]
    return [
        exactly("told", _told_once(outcome), sizes.connections, "clients told `reconnect`, once"),
        Figure("told_span_s", max(told, default=0) - min(told, default=0), "of their `after_ms`"),
        Figure(
            "told_uneven", unevenness(told), "share of that by which it is not a line", at_most=0.02
        ),
        exactly("closed", len(closed), sizes.connections, "clients closed with 1012"),
        exactly("gone", outcome.totals["gone"], sizes.connections, "connections that ended"),
        Figure("closed_span_s", max(closed, default=0) - min(closed, default=0), "of the closes"),
        Figure(
            "closed_fullest",
            fullest_bin(closed, BIN_S),
            "times its even share, the fullest 0.1 s of them",
            at_most=SHARES_MAX,
        ),
        fault(
            "cut",
            sizes.connections - outcome.totals["ends"].get("closed 1012", 0),
            "not by CLOSE alone",
        ),
        exactly("status", status, 0, "that the gateway ended with"),
        Figure("took_s", took_s, "from SIGTERM to that", at_most=sizes.deadline_s),
        Figure("published", sum(outcome.last_before(began_s).values()), "events before SIGTERM"),
        fault(
            "undelivered",
            outcome.undelivered(outcome.last_before(began_s)),
            "of those, over all clients",
        ),
        fault("faults", outcome.faults, "on a connection: lost, out of order, twice, damaged"),
        Figure(
            "forestalled_s",
            outcome.missed_age_max_s(),
            "age of the oldest event that a close came before",
            at_most=1,
        ),
    ]


def _told_once(outcome: Outcome) -> int:
    return sum(len(one.told) == 1 for one in outcome.clients)


def _status(child: Child, timeout_s: float) -> int:
    try:
        return child.process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        raise Failure(f"{child.name}: still there {timeout_s:.0f} s after SIGTERM") from None
