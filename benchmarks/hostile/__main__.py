"""Hostile clients beside good ones: what do the good ones notice?

First 10,000 handshakes are held open while good clients come one after the other: 99 % of them must
be in within a second. Then 2,000 clients attack in every way there is, while 1,000 good ones get
publications: those must lose nothing, and their p99 may move by at most 20 % or 5 ms against the
same without attackers. Exit status 1 if any of that is not so.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from statistics import median
from typing import Any

from benchmarks.fanout import probe
from benchmarks.fanout.__main__ import program
from benchmarks.fanout.build import OUT
from benchmarks.fanout.child import Child, Failure, run
from benchmarks.fanout.machine import machine
from benchmarks.fanout.scenarios import Kind, Scenario
from benchmarks.fanout.tokens import Tokens, make
from benchmarks.fanout.trial import READY_S, Bench, quantile

GOOD = Scenario(
    name="good clients",
    about="each on 10 of 100 channels, half events, half state",
    kind=Kind.STREAM,
    channels="token.c%02u.comment,token.c%02u.update",
    per_template=50,
    each=10,
    rate=1,
    connections=1000,
    seconds=20,
    warmup_s=5,
)
COMERS = 200
# The crowd has what the good clients, the publisher and NATS leave of their core: attackers do not
# sit on the machines of those they disturb, and a good client that had to wait for its core would
# look like one that the gateway left waiting.
HUMBLE = 19


@contextmanager
def crowd(
    bench: Bench, port: int, tokens: Tokens, attackers: int = 0, holders: int = 0
) -> Iterator[Child]:
    command = [sys.executable, "-m", "benchmarks.hostile.crowd", str(port), tokens.first]
    command += [f"--attackers={attackers}", f"--holders={holders}"]
    child = Child("crowd", command, bench.other_core, OUT / "crowd.log", None, True, HUMBLE)
    with child:
        child.event("ready", READY_S)
        yield child


def until_let_in(port: int, query: str) -> int:
    """As a browser's client does it: again after a moment; how often it was refused before."""
    for refusals in range(100):
        with suppress(OSError):
            probe.subscribe(port, "token.c00.update", query)
            return refusals
        time.sleep(0.1)
    raise Failure("a good client was refused a hundred times")


def handshakes_beside_slow_ones(bench: Bench, tokens: Tokens, holders: int) -> dict[str, Any]:
    with (
        bench.nats() as nats_port,
        bench.server("wsgate", GOOD, nats_port, tokens) as (
            server,
            port,
        ),
    ):
        empty = bench.sample(server)
        query = f"?auth={tokens.first}"
        took_ms = []
        refusals = 0
        with crowd(bench, port, tokens, holders=holders):
            time.sleep(2)
            for _ in range(COMERS):
                began = time.perf_counter()
                refusals += until_let_in(port, query)
                took_ms.append((time.perf_counter() - began) * 1000)
                time.sleep(0.02)
            held = bench.sample(server)
    took_ms.sort()
    return {
        "holders": holders,
        "refusals": refusals,
        "handshake_p50_ms": took_ms[len(took_ms) // 2],
        "handshake_p99_ms": took_ms[int(len(took_ms) * 0.99)],
        "memory_mb": (held.pss_kb - empty.pss_kb) / 1024,
    }


def good_beside_hostile(bench: Bench, tokens: Tokens, good: Scenario, attackers: int) -> Any:
    with (
        bench.nats() as nats_port,
        bench.server("wsgate", good, nats_port, tokens, others=attackers) as (server, port),
        bench.clients(good, port, good.connections, idle=True, tokens=tokens) as clients,
    ):
        clients.ready(READY_S)
        count = int(good.rate * (good.seconds + good.warmup_s + 1))
        with (
            crowd(bench, port, tokens, attackers=attackers) as hostile,
            bench.publisher(good, nats_port, count, good.rate) as publisher,
        ):
            time.sleep(good.warmup_s)
            clients.mark()
            time.sleep(good.seconds)
            last = clients.mark()
            publisher.event("done", good.seconds + 30)
            hostile.say("stop")
            attacks = hostile.event("done", 60)["attacks"]
        end = clients.finish(count * good.connections * good.each)
        memory_kb = bench.sample(server).pss_kb
    return {
        "attacks": sum(attacks.values()),
        "kinds": len(attacks),
        "latency_p50_ms": quantile(last["latency_us"], 0.5) / 1000,
        "latency_p99_ms": quantile(last["latency_us"], 0.99) / 1000,
        # Of state a newer value may have taken the place of an older: what counts is that none
        # came out of order, and that nobody was disconnected or told of a gap.
        "events_lost": end["gaps"],
        "missing_share": 1 - end["deliveries"] / (count * good.connections * good.each),
        "damaged": end["damaged"] + end["unasked"] + end["reordered"] + end["duplicates"],
        "disconnected": end["gone"],
        "memory_mb": memory_kb / 1024,
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hostile",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--holders", type=int, default=10_000)
    parser.add_argument("--attackers", type=int, default=2_000)
    parser.add_argument("--short", action="store_true", help="few and short: shows that it works")
    args = parser.parse_args(argv)
    good = GOOD
    if args.short:
        good = replace(GOOD, connections=50, seconds=3, warmup_s=1)
        args.holders, args.attackers = min(args.holders, 200), min(args.attackers, 60)
    cores = sorted(os.sched_getaffinity(0))
    OUT.mkdir(exist_ok=True)
    bench = Bench(
        OUT,
        program(None, "nats-server", needed=True),
        program(None, "wsgate", needed=True),
        cores[0],
        cores[-1],
    )
    tokens = make("HS256", good.connections, OUT)
    slow = handshakes_beside_slow_ones(bench, tokens, args.holders)
    print(json.dumps(slow, indent=1), flush=True)
    quiet, loud = [], []
    for _ in range(args.repeat):
        quiet.append(good_beside_hostile(bench, tokens, good, 0))
        loud.append(good_beside_hostile(bench, tokens, good, args.attackers))
        print(json.dumps({"quiet": quiet[-1], "hostile": loud[-1]}, indent=1), flush=True)
    before = median(one["latency_p99_ms"] for one in quiet)
    after = median(one["latency_p99_ms"] for one in loud)
    verdicts = {
        "handshake p99 within 1 s": slow["handshake_p99_ms"] < 1000,
        "nothing lost": not any(
            one[fault] for one in loud for fault in ("events_lost", "damaged", "disconnected")
        ),
        f"p99 {after:.1f} ms, at most {before + max(0.2 * before, 5):.1f}": (
            after <= before + max(0.2 * before, 5) or args.short
        ),
    }
    for what, met in verdicts.items():
        print(f"  {'met   ' if met else 'MISSED'} {what}")
    result = {
        "machine": machine(bench),
        "slow handshakes": slow,
        "quiet": quiet,
        "hostile": loud,
        "verdicts": verdicts,
    }
    (OUT / "hostile.json").write_text(json.dumps(result, indent=1) + "\n")
    return int(not all(verdicts.values()))


if __name__ == "__main__":
    run(main)
