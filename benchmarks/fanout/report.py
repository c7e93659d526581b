"""Figures into a table that says what each of them means, and into JSON."""

from __future__ import annotations

import math
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.fanout.build import SOURCES, compiler
from benchmarks.fanout.scenarios import Scenario
from benchmarks.fanout.trial import Bench, Figures

FLOOR = "floor"

MEANING = {
    "deliveries_per_s": "publications that reached a client, all clients together",
    "cpu_us_per_delivery": "µs of the server's CPU, user and kernel, from NATS to the client's socket",
    "user_us_per_delivery": "of that, user mode: what is the server's own doing, and steady from run to run",
    "cpu_us_per_handshake": "µs of the server's CPU for accept, upgrade, subscriptions and last values",
    "user_us_per_handshake": "of that, user mode",
    "handshakes_per_s": "connections that were accepted, upgraded and subscribed each second",
    "handshake_p50_ms": "connect to `subscribed`, half of the clients within",
    "handshake_p99_ms": "connect to `subscribed`, 99 % of the clients within",
    "cpu_share": "how much of one core the server used (1 = all of it)",
    "pss_kb_per_connection": "KB of the server's own memory (PSS) a connection added; the kernel's is not in it",
    "pss_kb_per_connection_quiet": "the same before anything was published to the connections",
    "pss_mb_empty": "MB (PSS) of the server without connections",
    "latency_p50_ms": "publisher's write to client's read, half of the deliveries within",
    "latency_p99_ms": "publisher's write to client's read, 99 % of the deliveries within",
    "latency_max_ms": "publisher's write to client's read, the slowest delivery",
    "bytes_per_delivery": "bytes of a WebSocket message's payload",
    "lost": "deliveries owed (last values included) that never came",
    "reordered": "deliveries out of order or twice",
    "damaged": "messages that are not what was sent, or not subscribed to",
    "disconnected": "connections the server ended",
    "connect_s": "s until all were connected and subscribed, as fast as they complete",
    "client_busy_share": "how much of the time the load client was handling data: near 1 it, not the server, is the limit",
    "publisher_late_max_ms": "how late the publisher ever was: high means that the load was not what it says",
    "disturbance_share": "other processes' use of the server's core: above 0.05 the CPU figures are not to be trusted",
}

KEPT_UP = {"client_busy_share": 0.9, "publisher_late_max_ms": 250.0, "disturbance_share": 0.05}


def _first_line(command: Sequence[str | Path]) -> str:
    try:
        result = subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, check=True, cwd=SOURCES
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return (result.stdout.splitlines() or [""])[0]


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _package(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def machine(bench: Bench) -> dict[str, Any]:
    changed = _first_line(["git", "status", "--porcelain", "--untracked-files=no"])
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _first_line(["git", "rev-parse", "--short=12", "HEAD"]) + ("+" if changed else ""),
        "kernel": platform.release(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "server_core": bench.server_core,
        "other_core": bench.other_core,
        "load_average_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "compiler": _first_line([compiler(), "--version"]),
        "nats_server": _first_line([bench.nats_server, "--version"]),
        **{name: _package(name) for name in ("wsgate", "picows", "uvloop", "nats-py", "Cython")},
    }


def medians(runs: Sequence[Figures]) -> Figures:
    """Of each figure; of failures the worst, since one is one too many."""
    worst = {"lost", "reordered", "damaged", "disconnected", "latency_max_ms"}
    return {
        name: (max if name in worst else median)([run[name] for run in runs]) for name in runs[0]
    }


def verdicts(scenario: Scenario, summary: dict[str, Figures]) -> list[dict[str, Any]]:
    """Each target of the gateway: value, limit, met or not; without a floor there is no ratio to judge."""
    figures, floor = summary.get("wsgate"), summary.get(FLOOR)
    found = []
    for target in scenario.targets:
        if figures is None or (target.against_floor and floor is None):
            continue
        value = figures[target.figure]
        if target.against_floor and floor is not None:
            value = value / floor[target.figure] if floor[target.figure] else math.nan
        found.append(
            {
                "figure": target.figure + (" / floor's" if target.against_floor else ""),
                "value": value,
                "limit": target.limit,
                "met": value <= target.limit,
            }
        )
    return found


def broken(summary: dict[str, Figures]) -> list[str]:
    """What no server may do, whatever its speed."""
    return [
        f"{server}: {name} {figures[name]:.0f}"
        for server, figures in summary.items()
        for name in ("lost", "reordered", "damaged", "disconnected")
        if figures.get(name)
    ]


def doubts(summary: dict[str, Figures]) -> list[str]:
    """Reasons not to trust the figures."""
    return [
        f"{server}: {name} {figures[name]:.2f} (trusted up to {limit:g}): {MEANING[name]}"
        for server, figures in summary.items()
        for name, limit in KEPT_UP.items()
        if figures.get(name, 0) > limit
    ]


def _number(value: float) -> str:
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def table(scenario: Scenario, summary: dict[str, Figures], runs: int) -> str:
    servers = list(summary)
    ratio = len(servers) > 1 and FLOOR in summary
    title = f"{scenario.name}: {scenario.connections:,} connections, {scenario.about}"
    span = f"; {scenario.seconds:g} s" if "deliveries_per_s" in summary[servers[0]] else ""
    lines = [title, f"median of {runs} run{'s' * (runs > 1)}{span}, {scenario.payload_bytes} B payloads", ""]
    heads = [*servers, *(["ratio"] if ratio else [])]
    lines.append(f"{'':28}" + "".join(f"{head:>11}" for head in heads))
    for name in summary[servers[0]]:
        values = [summary[server][name] for server in servers]
        cells = [_number(value) for value in values]
        if ratio:
            floor, other = summary[FLOOR][name], values[servers.index(FLOOR) - 1]
            cells.append(f"{other / floor:.2f}" if floor > 0 else "")
        lines.append(f"{name:28}" + "".join(f"{cell:>11}" for cell in cells) + f"  {MEANING[name]}")
    lines.append("")
    for verdict in verdicts(scenario, summary):
        word = "met   " if verdict["met"] else "MISSED"
        value, limit = _number(verdict["value"]), _number(verdict["limit"])
        lines.append(f"  target {word} {verdict['figure']}: {value} (at most {limit})")
    lines += [f"  BROKEN  {what}" for what in broken(summary)]
    lines += [f"  doubt   {why}" for why in doubts(summary)]
    return "\n".join(lines) + "\n"
