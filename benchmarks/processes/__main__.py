"""What an operator relies on: workers that die, are replaced, leave, share the load, and cost.

Each scenario runs `wsgate serve` and a NATS server, and holds what it sees to its targets. Exit
status 1 if one is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.fanout.__main__ import program
from benchmarks.fanout.build import OUT
from benchmarks.fanout.child import run
from benchmarks.fanout.machine import machine
from benchmarks.fanout.trial import Bench
from benchmarks.processes import drain, figures, idle, kill, reload, rounds, scrape, spread
from benchmarks.processes.figures import Figure


class Scenario(NamedTuple):
    about: str
    run: Callable[[Bench, bool], list[Figure]]


SCENARIOS = {
    "kill": Scenario("one of two workers killed, 5,000 clients, 50,000 deliveries/s", kill.run),
    "reload": Scenario("SIGHUP, 5,000 clients that come back, 50,000 deliveries/s", reload.run),
    "drain": Scenario("SIGTERM, 10,000 clients that stay, 50,000 deliveries/s", drain.run),
    "spread": Scenario("10,000 clients of two workers, 50,000 deliveries/s", spread.run),
    "idle": Scenario("20,000 clients to whom nothing is sent but pings", idle.run),
    "rounds": Scenario("10,000 clients that come and leave, again and again", rounds.run),
    "scrape": Scenario("/metrics with 10,000 channels and 1,000 clients", scrape.run),
}


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.processes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--scenario", action="append", choices=SCENARIOS, help="may be repeated; default: all")
    add("--repeat", type=int, default=1, help="runs of each; worst times and median costs count")
    add(
        "--short", action="store_true", help="few and short: shows that it works; only faults count"
    )
    add("--nice", type=int, default=0, help="of all it starts; below 0 needs root")
    add("--json", type=Path, default=OUT / "processes.json", help="results; the tables beside it")
    add("--nats-server", type=Path, help="the program (default: beside this Python, or in PATH)")
    return parser.parse_args(argv)


def measure(bench: Bench, name: str, args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    runs = []
    for turn in range(args.repeat):
        print(f"... {name}, run {turn + 1} of {args.repeat}", file=sys.stderr, flush=True)
        runs.append(SCENARIOS[name].run(bench, args.short))
    found = figures.combined(runs)
    about = SCENARIOS[name].about
    if args.short:
        found, about = figures.without_targets(found), f"{about}; but all of it short"
    result = {
        "scenario": name,
        "about": about,
        "figures": [one.plain() for one in found],
        "missed": [one.name for one in figures.missed(found)],
        "runs": [{one.name: one.value for one in figures} for figures in runs],
    }
    return result, figures.table(f"{name}: {about}", found)


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(argv)
    cores = sorted(os.sched_getaffinity(0))
    # What looks at the server, and what calls it, must not be in its way.
    os.sched_setaffinity(0, {cores[-1]})
    OUT.mkdir(exist_ok=True)
    nats_server = program(args.nats_server, "nats-server", needed=True)
    bench = Bench(OUT, nats_server, Path(sys.executable), cores[0], cores[-1], args.nice)
    head = machine(bench)
    text = "".join(f"{name}: {value}\n" for name, value in head.items())
    print(text, flush=True)
    results = []
    for name in args.scenario or SCENARIOS:
        result, table = measure(bench, name, args)
        print(table, flush=True)
        results.append(result)
        text += f"\n{table}"
        # After each, so that an interrupted benchmark leaves what it has.
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({"machine": head, "results": results}, indent=1) + "\n")
        args.json.with_suffix(".txt").write_text(text)
    print(f"results: {args.json}")
    return int(any(result["missed"] for result in results))


if __name__ == "__main__":
    run(main)
