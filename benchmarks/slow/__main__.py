"""Of many clients some read nothing for a while: what do they cost, what do they get, who notices?

When they read again each must get at most 256 KB of old data and then exactly the latest value of
every channel; the kernel holds at most 64 KB for each on the gateway's side; the others lose
nothing, and their p99 moves by at most 20 % or 5 ms. Exit status 1 if any of that is not so.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.fanout.__main__ import program
from benchmarks.fanout.build import OUT
from benchmarks.fanout.child import run
from benchmarks.fanout.machine import machine
from benchmarks.fanout.trial import Bench
from benchmarks.slow import report
from benchmarks.slow.scenario import FULL, QUICK
from benchmarks.slow.trial import Figures, trial


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.slow",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--repeat", type=int, default=1, help="runs with and without, interleaved; medians count")
    add("--slow", type=int, help=f"how many clients read nothing ({FULL.slow})")
    add("--others", type=int, help=f"how many read as fast as they can ({FULL.others})")
    add("--short", action="store_true", help="few and small: shows that it works; p99 is not held")
    add("--nice", type=int, default=0, help="of all it starts; below 0 needs root")
    add("--json", type=Path, default=OUT / "slow.json", help="results; the table beside it")
    add("--nats-server", type=Path, help="the program (default: beside this Python, or in PATH)")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(argv)
    sizes = QUICK if args.short else FULL
    sizes = replace(sizes, slow=args.slow or sizes.slow, others=args.others or sizes.others)
    cores = sorted(os.sched_getaffinity(0))
    OUT.mkdir(exist_ok=True)
    nats_server = program(args.nats_server, "nats-server", needed=True)
    bench = Bench(OUT, nats_server, Path(sys.executable), cores[0], cores[-1], args.nice)
    runs: dict[int, list[Figures]] = {0: [], sizes.slow: []}
    for turn in range(args.repeat):
        for slow, figures in runs.items():
            print(f"... {slow} slow clients, run {turn + 1} of {args.repeat}", file=sys.stderr)
            with bench.nats() as nats_port:
                figures.append(trial(bench, sizes, nats_port, slow))
    without, with_slow = (report.medians(figures) for figures in runs.values())
    table = report.table(sizes, without, with_slow, args.repeat)
    print(table)
    verdict = report.p99_verdict(without, with_slow)
    broken = report.faults(without) + report.faults_of_slow(sizes, with_slow)
    result = {
        "machine": machine(bench),
        "meaning": report.MEANING,
        "sizes": asdict(sizes),
        "without": without,
        "with_slow": with_slow,
        "runs": {"without": runs[0], "with_slow": runs[sizes.slow]},
        "p99": verdict,
        "broken": broken,
    }
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(result, indent=1) + "\n")
    args.json.with_suffix(".txt").write_text(table)
    print(f"results: {args.json}")
    return int(bool(broken) or not (verdict["met"] or args.short))


if __name__ == "__main__":
    run(main)
