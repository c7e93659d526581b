"""Figures into a table that says what each of them means, and into verdicts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.fanout.scenarios import Kind, Scenario
from benchmarks.fanout.servers import FLOOR, WSGATE
from benchmarks.fanout.trial import Figures

MEANING = {
    "cpu_us_per_delivery": "µs of the server's CPU, from NATS to the client's socket",
    "user_us_per_delivery": "of that in user mode: the server's own doing, steady from run to run",
    "deliveries_per_s": "publications that reached a client, all clients together",
    "behind_share": "of the deliveries due in the time measured, how many came only after it",
    "merged_share": "of what was published for clients, how much was merged into something newer",
    "outdated": "publications that clients' last values are behind once nothing comes any more",
    "aggregator_cpu_share": "how much of a core the aggregator used, beside the server",
    "bytes_per_delivery": "bytes of a WebSocket message's payload",
    "wire_bytes_per_delivery": "bytes of the frame, header included, as it crossed the wire",
    "deflated_share": "of the deliveries, how many were compressed",
    "delta_share": "of the deliveries, how many came as wsgate.delta.v1",
    "cpu_us_per_handshake": "µs of the server's CPU: accept, upgrade, subscribe, last values",
    "user_us_per_handshake": "of that in user mode",
    "handshakes_per_s": "connections accepted, upgraded and subscribed each second",
    "handshake_p50_ms": "connect to `subscribed`: half of the clients within",
    "handshake_p99_ms": "connect to `subscribed`: 99 % of the clients within",
    "cpu_share": "how much of one core the server used (1 = all of it)",
    "pss_kb_per_connection": "KB a connection added to the server's PSS (the kernel's not in it)",
    "pss_kb_per_connection_quiet": "the same before anything was published to the connections",
    "pss_mb_empty": "MB (PSS) of the server without connections",
    "latency_p50_ms": "publisher's write to client's read: half of the deliveries within",
    "latency_p99_ms": "publisher's write to client's read: 99 % of the deliveries within",
    "latency_max_ms": "publisher's write to client's read: the slowest delivery",
    "lost": "deliveries owed (last values included) that never came",
    "reordered": "deliveries out of order or twice",
    "damaged": "messages that are not what was sent, or not subscribed to",
    "disconnected": "connections the server ended",
    "connect_s": "s until all were connected and subscribed, as fast as they complete",
    "client_busy_share": "the load client's time spent on data; near 1 it is the limit",
    "publisher_late_max_ms": "how late the publisher ever was; high: the load was uneven",
    "disturbance_share": "use of the server's core by others: falsifies CPU and latency",
    "disturbance_share_clients": "use of the clients' core by others: falsifies latency",
}

FAULTS = ("lost", "outdated", "reordered", "damaged", "disconnected")
TRUSTED_UP_TO = {
    "behind_share": 0.05,
    "client_busy_share": 0.9,
    "publisher_late_max_ms": 250.0,
    "disturbance_share": 0.1,  # by clock ticks, which a steady rhythm can fool by that much
    "disturbance_share_clients": 0.1,
}


def medians(runs: Sequence[Figures]) -> Figures:
    """Of each figure; of faults the worst, since one is one too many."""
    worst = {*FAULTS, "latency_max_ms"}
    return {
        name: (max if name in worst else median)([run[name] for run in runs]) for name in runs[0]
    }


def verdicts(scenario: Scenario, summary: dict[str, Figures]) -> list[dict[str, Any]]:
    """Each target of the gateway: met or not. Without a floor there is no ratio to judge."""
    figures, floor = summary.get(WSGATE), summary.get(FLOOR)
    found = []
    for target in scenario.targets:
        if figures is None or (target.against_floor and floor is None):
            continue
        name, value = target.figure, figures[target.figure]
        if target.against_floor and floor is not None:
            name += " / floor"
            value = value / floor[target.figure] if floor[target.figure] else math.nan
        met = value <= target.limit
        found.append({"figure": name, "value": value, "limit": target.limit, "met": met})
    return found


def broken(summary: dict[str, Figures]) -> list[str]:
    """What no server may do, whatever its speed."""
    return [
        f"{server}: {name} {figures[name]:.0f}"
        for server, figures in summary.items()
        for name in FAULTS
        if figures.get(name)
    ]


def doubts(summary: dict[str, Figures]) -> list[str]:
    """Reasons not to trust the figures."""
    return [
        f"{server}: {name} {figures[name]:.2f} (trusted up to {limit:g})"
        for server, figures in summary.items()
        for name, limit in TRUSTED_UP_TO.items()
        if figures.get(name, 0) > limit
    ]


def table(scenario: Scenario, summary: dict[str, Figures], runs: int) -> str:
    servers = list(summary)
    others = [server for server in servers if server != FLOOR]
    compared = others[0] if others and FLOOR in summary else None
    how = [f"median of {runs} runs" if runs > 1 else "one run"]
    how += [f"{scenario.seconds:g} s"] if scenario.kind is Kind.STREAM else []
    how += [f"{scenario.payload_bytes} B published each time"]
    lines = [
        f"{scenario.name}: {scenario.connections:,} connections, {scenario.about}",
        "; ".join(how),
        "",
        _row("", [*servers, *(["ratio"] if compared else [])]),
    ]
    for name in summary[servers[0]]:
        cells = [_number(summary[server][name]) for server in servers]
        if compared:
            floor = summary[FLOOR][name]
            cells.append(f"{summary[compared][name] / floor:.2f}" if floor > 0 else "")
        lines.append(f"{_row(name, cells)}   {MEANING[name]}")
    lines.append("")
    for verdict in verdicts(scenario, summary):
        word = "met   " if verdict["met"] else "MISSED"
        value, limit = _number(verdict["value"]), _number(verdict["limit"])
        lines.append(f"  target {word} {verdict['figure']}: {value} (at most {limit})")
    lines += [f"  BROKEN {what}" for what in broken(summary)]
    lines += [f"  doubt  {why}" for why in doubts(summary)]
    return "\n".join(lines).rstrip() + "\n"


def _row(label: str, cells: Sequence[str]) -> str:
    return f"  {label:28}" + "".join(f"{cell:>10}" for cell in cells)


def _number(value: float) -> str:
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"
