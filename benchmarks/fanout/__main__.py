"""Command line of the fan-out benchmark."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.fanout.build import OUT
from benchmarks.fanout.child import Failure
from benchmarks.fanout.report import FLOOR, MEANING, broken, doubts, machine, medians, table, verdicts
from benchmarks.fanout.scenarios import SCENARIOS, Kind, Scenario, shortened
from benchmarks.fanout.trial import Bench, Figures, trial

SERVERS = {"floor": [FLOOR], "wsgate": ["wsgate"], "both": [FLOOR, "wsgate"]}


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    names = [scenario.name for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fanout", description=__doc__)
    parser.add_argument("--scenario", action="append", choices=names, help="may be repeated; default: all")
    parser.add_argument("--server", choices=SERVERS, default="both")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each server, interleaved")
    parser.add_argument("--seconds", type=float, help="time a stream is measured for (30)")
    parser.add_argument("--connections", type=int, help="(10000)")
    parser.add_argument("--short", action="store_true", help="few connections, 3 s: shows that it works")
    parser.add_argument("--check", action="store_true", help="exit status 1 if a target is missed")
    parser.add_argument("--json", type=Path, default=OUT / "fanout.json", help="where the results go")
    parser.add_argument("--wsgate", type=Path, help="the program (beside this Python)")
    parser.add_argument("--nats-server", type=Path, help="the program (beside this Python, or in PATH)")
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


def measure(bench: Bench, scenario: Scenario, servers: list[str], repeat: int) -> dict[str, Any]:
    runs: dict[str, list[Figures]] = {server: [] for server in servers}
    with bench.nats() as nats_port:
        # A B A B: what drifts on the machine hits both alike.
        for turn in range(repeat):
            for server in servers:
                print(f"... {scenario.name}, {server}, run {turn + 1} of {repeat}", file=sys.stderr)
                runs[server].append(trial(bench, scenario, server, nats_port))
    summary = {server: medians(figures) for server, figures in runs.items()}
    print(table(scenario, summary, repeat))
    return {
        "scenario": scenario.name,
        "about": scenario.about,
        "connections": scenario.connections,
        "seconds": scenario.seconds,
        "window_ms": scenario.window_ms,
        "payload_bytes": scenario.payload_bytes,
        "summary": summary,
        "runs": runs,
        "targets": verdicts(scenario, summary),
        "broken": broken(summary),
        "doubts": doubts(summary),
    }


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(argv)
    servers = SERVERS[args.server]
    cores = sorted(os.sched_getaffinity(0))
    OUT.mkdir(exist_ok=True)
    bench = Bench(
        out=OUT,
        nats_server=program(args.nats_server, "nats-server", needed=True),
        wsgate=program(args.wsgate, "wsgate", needed="wsgate" in servers),
        server_core=cores[0],
        other_core=cores[-1],
    )
    results: list[dict[str, Any]] = []
    report = {"machine": machine(bench), "meaning": MEANING, "results": results}
    for scenario in scenarios(args):
        results.append(measure(bench, scenario, servers, args.repeat))
        # After each, so that an interrupted benchmark leaves what it has.
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(report, indent=1) + "\n")
    print(f"results: {args.json}")
    missed = any(not target["met"] for result in results for target in result["targets"])
    return int(any(result["broken"] for result in results) or (args.check and missed))


def _end(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    # As an exception, so that every process it started is stopped on the way out.
    signal.signal(signal.SIGTERM, _end)
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f"benchmark failed: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
