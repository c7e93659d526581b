"""Measures the gateway beside the floor, and says what the figures mean."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.fanout import report, servers
from benchmarks.fanout.build import OUT
from benchmarks.fanout.child import Failure, run
from benchmarks.fanout.machine import machine
from benchmarks.fanout.scenarios import SCENARIOS, Kind, Scenario, shortened
from benchmarks.fanout.trial import Bench, Figures, trial

SERVERS = {
    "floor": [servers.FLOOR],
    "wsgate": [servers.WSGATE],
    "both": [servers.FLOOR, servers.WSGATE],
    # For streams only.
    "deflate": [servers.WSGATE, servers.DEFLATE],
    "delta": [servers.WSGATE, servers.DELTA],
    "aggregated": [servers.WSGATE, servers.AGGREGATED],
    "uwebsockets": [servers.WSGATE, servers.UWEBSOCKETS],
}


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fanout", description=__doc__)
    add = parser.add_argument
    names = [scenario.name for scenario in SCENARIOS]
    add("--scenario", action="append", choices=names, help="may be repeated; default: all")
    add("--server", choices=SERVERS, default="both")
    add("--repeat", type=int, default=1, help="runs of each server, interleaved; medians count")
    add("--seconds", type=float, help="how long a stream is measured (30)")
    add("--connections", type=int, help="(10000)")
    add("--short", action="store_true", help="few connections, 3 s: shows that it works")
    add("--check", action="store_true", help="exit status 1 if a target is missed")
    add("--nice", type=int, default=0, help="of all it starts; below 0 needs root")
    add("--json", type=Path, default=OUT / "fanout.json", help="results; the table beside it")
    add("--wsgate", type=Path, help="the program (default: the one beside this Python)")
    add("--nats-server", type=Path, help="the program (default: beside this Python, or in PATH)")
    return parser.parse_args(argv)


def program(given: Path | None, name: str, needed: bool) -> Path:
    beside = Path(sys.executable).with_name(name)
    found = given or (beside if beside.exists() else shutil.which(name))
    if found is None and needed:
        raise Failure(f"no {name} beside {sys.executable} or in PATH")
    return Path(found or name)


def scenarios(args: argparse.Namespace) -> list[Scenario]:
    chosen = [one for one in SCENARIOS if not args.scenario or one.name in args.scenario]
    if args.short:
        chosen = [shortened(scenario) for scenario in chosen]
    if args.connections:
        chosen = [replace(scenario, connections=args.connections) for scenario in chosen]
    if args.seconds:
        chosen = [
            replace(scenario, seconds=args.seconds) if scenario.kind is Kind.STREAM else scenario
            for scenario in chosen
        ]
    return chosen


def measure(bench: Bench, scenario: Scenario, names: list[str], repeat: int) -> dict[str, Any]:
    runs: dict[str, list[Figures]] = {server: [] for server in names}
    with bench.nats() as nats_port:
        # A B A B: what drifts on the machine hits both alike.
        for turn in range(repeat):
            for server in names:
                print(f"... {scenario.name}, {server}, run {turn + 1} of {repeat}", file=sys.stderr)
                runs[server].append(trial(bench, scenario, server, nats_port))
    summary = {server: report.medians(figures) for server, figures in runs.items()}
    return {
        "scenario": scenario.name,
        "about": scenario.about,
        "connections": scenario.connections,
        "seconds": scenario.seconds,
        "window_ms": scenario.window_ms,
        "payload_bytes": scenario.payload_bytes,
        "summary": summary,
        "runs": runs,
        "targets": report.verdicts(scenario, summary),
        "broken": report.broken(summary),
        "doubts": report.doubts(summary),
        "table": report.table(scenario, summary, repeat),
    }


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(argv)
    names = SERVERS[args.server]
    cores = sorted(os.sched_getaffinity(0))
    OUT.mkdir(exist_ok=True)
    for log in OUT.glob("*.log"):
        log.unlink()
    bench = Bench(
        out=OUT,
        nats_server=program(args.nats_server, "nats-server", needed=True),
        wsgate=program(args.wsgate, "wsgate", needed=names != [servers.FLOOR]),
        server_core=cores[0],
        other_core=cores[-1],
        nice=args.nice,
    )
    head = machine(bench)
    results: list[dict[str, Any]] = []
    tables = "".join(f"{name}: {value}\n" for name, value in head.items())
    print(tables, flush=True)
    for scenario in scenarios(args):
        result = measure(bench, scenario, names, args.repeat)
        table = result.pop("table")
        print(table, flush=True)
        results.append(result)
        tables += f"\n{table}"
        # After each, so that an interrupted benchmark leaves what it has.
        args.json.parent.mkdir(parents=True, exist_ok=True)
        text = {"machine": head, "meaning": report.MEANING, "results": results}
        args.json.write_text(json.dumps(text, indent=1) + "\n")
        args.json.with_suffix(".txt").write_text(tables)
    print(f"results: {args.json}")
    missed = any(not target["met"] for result in results for target in result["targets"])
    return int(any(result["broken"] for result in results) or (args.check and missed))


if __name__ == "__main__":
    run(main)
