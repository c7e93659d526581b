"""One aggregator through one market; gives the figures."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.aggregate.scenarios import Market
from benchmarks.fanout.build import build
from benchmarks.fanout.child import Child, Failure
from benchmarks.fanout.trial import Bench, Buckets, quantile

HERE = Path(__file__).parent
READY_S = 30

Figures = dict[str, float]


@contextmanager
def listener(bench: Bench, market: Market, nats_port: int) -> Iterator[Child]:
    command = [str(build("listener", HERE)), f"--port={nats_port}", f"--window={market.window_ms}"]
    log = bench.out / "listener.log"
    with Child("listener", command, bench.other_core, log, talks=True, nice=bench.nice) as child:
        child.event("ready", READY_S)
        yield child


def trial(bench: Bench, market: Market) -> Figures:
    span_s = market.warmup_s + market.seconds + 1
    counts = [math.ceil(one.rate * span_s) for one in market.traffic]
    expected = sum(
        count * one.per_template for count, one in zip(counts, market.traffic, strict=True)
    )
    with (
        bench.nats() as nats_port,
        bench.aggregator(nats_port, market.window_ms, bench.server_core) as server,
        listener(bench, market, nats_port) as reader,
        ExitStack() as stack,
    ):
        publishers = [
            stack.enter_context(bench.publisher(one, nats_port, count, one.rate))
            for count, one in zip(counts, market.traffic, strict=True)
        ]
        time.sleep(market.warmup_s)
        first, before = _mark(reader), bench.sample(server)
        time.sleep(market.seconds)
        last, after = _mark(reader), bench.sample(server)
        done = [one.event("done", span_s + 60) for one in publishers]
        end = _until_all(reader, expected)
    measured_s = after.at_s - before.at_s
    cpu_s = after.cpu_s - before.cpu_s
    came, left = last["raw"] - first["raw"], last["out"] - first["out"]
    if not came or not left:
        raise Failure(f"{market.name}: nothing was republished")
    return {
        "in_per_s": came / measured_s,
        "out_per_s": left / measured_s,
        "out_share": left / came,
        "cpu_share": cpu_s / measured_s,
        "cpu_us_per_publication": cpu_s / came * 1e6,
        "user_us_per_publication": (after.user_s - before.user_s) / came * 1e6,
        "direct_p99_ms": _ms(last["direct_us"], 0.99),
        "added_p50_ms": _ms(last["added_us"], 0.5),
        "added_p99_ms": _ms(last["added_us"], 0.99),
        "beyond_p50_ms": _ms(last["beyond_us"], 0.5),
        "beyond_p99_ms": _ms(last["beyond_us"], 0.99),
        "pss_mb": after.pss_kb / 1024,
        "lost": end["lost"] + expected - end["raw"],
        "reordered": end["reordered"],
        "damaged": end["damaged"],
        "behind": end["behind"],
        "publisher_late_max_ms": max(one["late_max_ms"] for one in done),
        "disturbance_share": max(0.0, after.server_core_s - before.server_core_s - cpu_s)
        / measured_s,
    }


def _mark(reader: Child) -> dict[str, Any]:
    totals = reader.ask("mark", 30)
    for key, value in totals.items():
        if key.endswith("_us"):
            totals[key] = dict(value)
    return totals


def _until_all(reader: Child, expected: int) -> dict[str, Any]:
    """The totals when every channel stands at its latest, or as they are after a while."""
    deadline = time.monotonic() + READY_S
    while True:
        totals = _mark(reader)
        complete = totals["raw"] >= expected and not totals["behind"]
        if complete or time.monotonic() > deadline:
            return totals
        time.sleep(0.2)


def _ms(buckets: Buckets, share: float) -> float:
    return quantile(buckets, share) / 1000
