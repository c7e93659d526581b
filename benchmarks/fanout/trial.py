"""One server through one scenario: starts everything, measures, gives the figures."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.fanout import probe
from benchmarks.fanout.build import build
from benchmarks.fanout.child import Child, Failure
from benchmarks.fanout.sample import Sample, cpu_ns, disturbance, sample
from benchmarks.fanout.scenarios import Kind, Scenario
from benchmarks.fanout.servers import AGGREGATED, DEFLATE, DELTA, launch
from benchmarks.fanout.tokens import Tokens, make

CONNECTIONS_PER_CLIENT = 19_000
"""A process may hold 20,000 descriptors on many machines."""
SOURCES_PER_CLIENT = 2
SEED = 7
RAW = "raw"
"""Below it is published what an aggregator takes."""
WARMING_CONNECTIONS = 500
READY_S = 60
SETTLE_S = 1
"""What the server has left to do for connections that have just closed is no handshake's cost."""

Figures = dict[str, float]
Buckets = dict[int, int]


@dataclass(frozen=True)
class Bench:
    """What stays the same from trial to trial."""

    out: Path
    nats_server: Path
    wsgate: Path
    server_core: int
    other_core: int
    nice: int = 0

    def _child(
        self,
        name: str,
        command: Sequence[str],
        core: int,
        environment: Mapping[str, str] | None = None,
        talks: bool = False,
    ) -> Child:
        log = self.out / f"{name}.log"
        return Child(name, command, core, log, environment, talks, self.nice)

    @contextmanager
    def nats(self) -> Iterator[int]:
        port = probe.free_port()
        command = [str(self.nats_server), "-a", "127.0.0.1", "-p", str(port)]
        with self._child("nats-server", command, self.other_core) as child:
            probe.wait_until("accepting", lambda: probe.accepts(port), child)
            yield port

    @contextmanager
    def server(
        self,
        name: str,
        scenario: Scenario,
        nats_port: int,
        tokens: Tokens | None = None,
        *,
        others: int = WARMING_CONNECTIONS,
    ) -> Iterator[tuple[Child, int]]:
        """`others`: connections that may be there beside the scenario's."""
        port = probe.free_port()
        how = launch(name, scenario, nats_port, port, self.wsgate, others, tokens)
        first = scenario.channel_names[0]
        with self._child(name, how.command, self.server_core, how.environment) as child:
            if how.admin_port:
                ready = f"http://127.0.0.1:{how.admin_port}/readyz"
                probe.wait_until("ready", lambda: probe.http_ok(ready), child)
            probe.wait_until(
                "serving", lambda: probe.serves(port, first, query=_query(tokens)), child
            )
            yield child, port

    @contextmanager
    def aggregator(self, nats_port: int, window_ms: int, core: int) -> Iterator[Child]:
        """``wsgate aggregate``, ready, for what is published below ``raw``."""
        port = probe.free_port()
        environment = {
            "NATS_URL": f"nats://127.0.0.1:{nats_port}",
            "WS_HOST": "127.0.0.1",
            "WS_ADMIN_PORT": str(port),
            "WS_AGGREGATE_FROM": RAW,
            "WS_AGGREGATE_WINDOW_MS": str(window_ms),
            "LOG_LEVEL": "warning",
        }
        command = [str(self.wsgate), "aggregate"]
        with self._child("aggregator", command, core, environment) as child:
            ready = f"http://127.0.0.1:{port}/readyz"
            probe.wait_until("ready", lambda: probe.http_ok(ready), child)
            yield child

    @contextmanager
    def publisher(
        self,
        scenario: Scenario,
        nats_port: int,
        count: int,
        rate: float | None = None,
        first: int = 1,
        *,
        raw: bool = False,
    ) -> Iterator[Child]:
        """``count`` of the busiest channel; at the scenario's rates, unless another is given."""
        prefix = f"{RAW}." if raw else ""
        templates = ",".join(prefix + template for template in scenario.channels.split(","))
        command = [
            str(build("publisher")),
            f"--port={nats_port}",
            f"--channels={templates}",
            f"--per-template={scenario.per_template}",
            f"--size={scenario.payload_bytes}",
            f"--rate={scenario.rates_text if rate is None else f'{rate:g}'}",
            f"--count={count}",
            f"--first={first}",
        ]
        with self._child("publisher", command, self.other_core, talks=True) as child:
            yield child

    @contextmanager
    def clients(
        self,
        scenario: Scenario,
        port: int,
        connections: int,
        *,
        idle: bool = False,
        format: str = "",
        tokens: Tokens | None = None,
    ) -> Iterator[Clients]:
        with ExitStack() as stack:
            started = []
            for index, start in enumerate(range(0, connections, CONNECTIONS_PER_CLIENT)):
                command = [
                    str(build("load")),
                    f"--port={port}",
                    f"--connections={min(CONNECTIONS_PER_CLIENT, connections - start)}",
                    f"--channels={scenario.channels}",
                    f"--per-template={scenario.per_template}",
                    f"--each={scenario.each}",
                    f"--size={scenario.payload_bytes}",
                    f"--rate={scenario.connect_rate}",
                    f"--seed={SEED + index}",
                    # 127.0.0.1 has too few ports for everybody.
                    f"--source={2 + SOURCES_PER_CLIENT * index}",
                ]
                command += ["--idle"] if idle else []
                command += [f"--{format}"] if format in (DEFLATE, DELTA) else []
                command += [f"--tokens={tokens.path}"] if tokens else []
                child = self._child(f"load-{index}", command, self.other_core, talks=True)
                started.append(stack.enter_context(child))
            yield Clients(started, connections)

    def sample(self, server: Child) -> Sample:
        server.check_alive()
        return sample(server.pid, self.server_core, self.other_core)


@dataclass(frozen=True)
class Clients:
    """The load clients as one."""

    children: Sequence[Child]
    connections: int

    def ready(self, timeout_s: float) -> dict[str, Any]:
        totals = self._sum([child.event("ready", timeout_s) for child in self.children])
        if totals["live"] != self.connections or totals["refused"]:
            kept = ("live", "failed", "refused", "errors", "closes")
            raise Failure(f"not all subscribed: { {key: totals[key] for key in kept} }")
        return totals

    def mark(self) -> dict[str, Any]:
        return self._sum([child.ask("mark") for child in self.children])

    def finish(self, expected: int, timeout_s: float = 60) -> dict[str, Any]:
        share = math.ceil(expected / len(self.children))
        if len(self.children) > 1:
            share = 2 * expected  # no one knows its own share: quiet for a while is the end
        for child in self.children:
            child.say(f"finish {share}")
        return self._sum([child.event("finish", timeout_s) for child in self.children])

    @staticmethod
    def _sum(events: list[dict[str, Any]]) -> dict[str, Any]:
        totals: dict[str, Any] = {}
        for event in events:
            for key, value in event.items():
                if key.endswith("_us"):
                    buckets = totals.setdefault(key, {})
                    for least, count in value:
                        buckets[least] = buckets.get(least, 0) + count
                elif key in ("at_ns", "connect_s"):
                    totals[key] = max(totals.get(key, 0), value)
                elif key != "event":
                    totals[key] = totals.get(key, 0) + value
        return totals


def quantile(buckets: Buckets, share: float) -> float:
    """In microseconds: the lower edge of the bucket, which is 1.6 % wide."""
    wanted = share * sum(buckets.values())
    for least in sorted(buckets):
        wanted -= buckets[least]
        if wanted <= 0:
            return least
    return math.nan


def trial(bench: Bench, scenario: Scenario, server: str, nats_port: int) -> Figures:
    run = {Kind.STREAM: stream, Kind.MEMORY: memory, Kind.HANDSHAKE: handshake}[scenario.kind]
    return run(bench, scenario, server, nats_port)


def stream(bench: Bench, scenario: Scenario, name: str, nats_port: int) -> Figures:
    with ExitStack() as stack:
        enter = stack.enter_context
        aggregators = []
        if name == AGGREGATED:
            window_ms = scenario.aggregate_window_ms
            aggregators.append(enter(bench.aggregator(nats_port, window_ms, bench.other_core)))
        server, port = enter(bench.server(name, scenario, nats_port))
        clients = enter(bench.clients(scenario, port, scenario.connections, format=name))
        empty = bench.sample(server)
        ready = clients.ready(READY_S)
        seconds = scenario.warmup_s + scenario.seconds + 1
        count = math.ceil(scenario.rate * seconds)
        with bench.publisher(scenario, nats_port, count, raw=bool(aggregators)) as publisher:
            time.sleep(scenario.warmup_s)
            first, before = clients.mark(), bench.sample(server)
            aggregators_ns = sum(cpu_ns(one.pid) for one in aggregators)
            time.sleep(scenario.seconds)
            last, after = clients.mark(), bench.sample(server)
            aggregators_ns = sum(cpu_ns(one.pid) for one in aggregators) - aggregators_ns
            done = publisher.event("done", seconds + 30)
        owed = count * scenario.connections * scenario.each
        end = clients.finish(owed)
    deliveries = last["deliveries"] - first["deliveries"]
    if not deliveries:
        raise Failure(f"{name}: nothing was delivered")
    span_s = after.at_s - before.at_s
    not_yet = max(0.0, 1 - deliveries / (scenario.deliveries_per_s * span_s))
    if scenario.state:
        whole = {
            "merged_share": not_yet,
            "outdated": owed - end["latest"],
            "aggregator_cpu_share": aggregators_ns / 1e9 / span_s,
        }
    else:
        whole = {
            "behind_share": not_yet,
            "lost": owed - end["deliveries"] + end["duplicates"],
        }
    return {
        **_cost(before, after, deliveries, "delivery"),
        "deliveries_per_s": deliveries / span_s,
        **whole,
        "bytes_per_delivery": (last["bytes"] - first["bytes"]) / deliveries,
        "wire_bytes_per_delivery": (last["wire_bytes"] - first["wire_bytes"]) / deliveries,
        "deflated_share": (last["deflated"] - first["deflated"]) / deliveries,
        "delta_share": (last["deltas"] - first["deltas"]) / deliveries,
        "latency_p50_ms": quantile(last["latency_us"], 0.5) / 1000,
        "latency_p99_ms": quantile(last["latency_us"], 0.99) / 1000,
        "latency_max_ms": max(last["latency_us"]) / 1000,
        "pss_kb_per_connection": (after.pss_kb - empty.pss_kb) / scenario.connections,
        "reordered": end["reordered"] + end["duplicates"],
        "damaged": end["damaged"] + end["unasked"],
        "disconnected": end["gone"],
        "connect_s": ready["connect_s"],
        "client_busy_share": (last["busy_s"] - first["busy_s"]) / span_s,
        "publisher_late_max_ms": done["late_max_ms"],
    }


def memory(bench: Bench, scenario: Scenario, name: str, nats_port: int) -> Figures:
    with bench.server(name, scenario, nats_port) as (server, port):
        _give_last_values(bench, scenario, server, port, nats_port)
        empty = bench.sample(server)
        with bench.clients(scenario, port, scenario.connections, idle=True) as clients:
            clients.ready(READY_S)
            quiet = bench.sample(server)
            count = math.ceil(scenario.seconds * scenario.rate)
            with bench.publisher(scenario, nats_port, count, scenario.rate, first=2) as publisher:
                publisher.event("done", scenario.seconds + 30)
            # The last values that came with the subscriptions make the exact number unknown.
            end = clients.finish(2 * count * scenario.connections * scenario.each)
            used = bench.sample(server)
        return {
            "pss_kb_per_connection": (used.pss_kb - empty.pss_kb) / scenario.connections,
            "pss_kb_per_connection_quiet": (quiet.pss_kb - empty.pss_kb) / scenario.connections,
            "pss_mb_empty": empty.pss_kb / 1024,
            "damaged": end["damaged"] + end["unasked"],
            "disconnected": end["gone"],
        }


def handshake(bench: Bench, scenario: Scenario, name: str, nats_port: int) -> Figures:
    tokens = None
    if scenario.tokens:
        tokens = make(scenario.tokens, scenario.connections, bench.out)
    with bench.server(name, scenario, nats_port, tokens) as (server, port):
        _give_last_values(bench, scenario, server, port, nats_port, tokens)
        with bench.clients(scenario, port, WARMING_CONNECTIONS, tokens=tokens) as clients:
            clients.ready(READY_S)
        time.sleep(SETTLE_S)
        before = bench.sample(server)
        with bench.clients(scenario, port, scenario.connections, tokens=tokens) as clients:
            ready = clients.ready(scenario.connections / scenario.connect_rate + READY_S)
            after = bench.sample(server)
            end = clients.finish(scenario.connections * scenario.each)
        return {
            **_cost(before, after, scenario.connections, "handshake"),
            "handshakes_per_s": scenario.connections / ready["connect_s"],
            "handshake_p50_ms": quantile(ready["handshake_us"], 0.5) / 1000,
            "handshake_p99_ms": quantile(ready["handshake_us"], 0.99) / 1000,
            "lost": scenario.connections * scenario.each - end["deliveries"],
            "damaged": end["damaged"] + end["unasked"],
            "disconnected": end["gone"],
        }


def _cost(before: Sample, after: Sample, units: int, unit: str) -> Figures:
    span_s = after.at_s - before.at_s
    cpu_s = after.cpu_s - before.cpu_s
    of_server, of_clients = disturbance(before, after)
    return {
        f"cpu_us_per_{unit}": cpu_s / units * 1e6,
        f"user_us_per_{unit}": (after.user_s - before.user_s) / units * 1e6,
        "cpu_share": cpu_s / span_s,
        "disturbance_share": of_server,
        "disturbance_share_clients": of_clients,
    }


def _query(tokens: Tokens | None) -> str:
    return f"?auth={tokens.first}" if tokens else ""


def _give_last_values(
    bench: Bench,
    scenario: Scenario,
    server: Child,
    port: int,
    nats_port: int,
    tokens: Tokens | None = None,
) -> None:
    """One publication on every channel. NATS keeps their order: once the last is known, all are."""
    last = scenario.channel_names[-1]
    with bench.publisher(scenario, nats_port, count=1, rate=10) as publisher:
        publisher.event("done", 30)
    known = lambda: probe.serves(port, last, seq_min=1, query=_query(tokens))  # noqa: E731
    probe.wait_until("aware of last values", known, server)
