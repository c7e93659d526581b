"""What does aggregating cost, and how much later does it make what browsers see?

`wsgate aggregate` alone on a core, between a real NATS server and a reader that gets the raw
publications as well. Exit status 1 if anything is lost, out of order, or not the latest in the end.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.aggregate.scenarios import MARKETS, Market, shortened
from benchmarks.aggregate.trial import Figures, trial
from benchmarks.fanout.__main__ import program
from benchmarks.fanout.build import OUT
from benchmarks.fanout.child import run
from benchmarks.fanout.machine import machine
from benchmarks.fanout.trial import Bench

MEANING = {
    "in_per_s": "raw publications that came each second",
    "out_per_s": "publications that were made of them",
    "out_share": "the one by the other",
    "cpu_share": "how much of one core the aggregator used (1 = all of it)",
    "cpu_us_per_publication": "µs of its CPU for each raw publication, republishing included",
    "user_us_per_publication": "of that in user mode",
    "direct_p99_ms": "publisher's write to the reader's read, without an aggregator: 99 % within",
    "added_p50_ms": "how much later a publication came for it: half of them within",
    "added_p99_ms": "99 % within; state has to wait for what is left of its window",
    "beyond_p50_ms": "the same without what a window asks for",
    "beyond_p99_ms": "99 % within",
    "pss_mb": "MB (PSS) of the aggregator",
    "lost": "events that never came, and raw publications that the reader lacks",
    "reordered": "publications out of order or twice",
    "damaged": "messages that are not what was sent",
    "behind": "channels whose latest value did not come in the end",
    "publisher_late_max_ms": "how late a publisher ever was; high: the load was uneven",
    "disturbance_share": "use of the aggregator's core by others: falsifies CPU and latency",
}
FAULTS = ("lost", "reordered", "damaged", "behind")


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.aggregate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    names = [market.name for market in MARKETS]
    add("--market", action="append", choices=names, help="may be repeated; default: all")
    add("--repeat", type=int, default=1, help="runs of each, interleaved")
    add("--seconds", type=float, help="how long each is measured (20)")
    add("--short", action="store_true", help="3 s each: shows that it works")
    add("--nice", type=int, default=0, help="of all it starts; below 0 needs root")
    add("--json", type=Path, default=OUT / "aggregate.json", help="results; the table beside it")
    add("--nats-server", type=Path, help="the program (default: beside this Python, or in PATH)")
    return parser.parse_args(argv)


def markets(args: argparse.Namespace) -> list[Market]:
    chosen = [one for one in MARKETS if not args.market or one.name in args.market]
    if args.short:
        chosen = [shortened(one) for one in chosen]
    return [replace(one, seconds=args.seconds) for one in chosen] if args.seconds else chosen


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(argv)
    chosen = markets(args)
    cores = sorted(os.sched_getaffinity(0))
    OUT.mkdir(exist_ok=True)
    nats_server = program(args.nats_server, "nats-server", needed=True)
    bench = Bench(
        OUT, nats_server, program(None, "wsgate", needed=True), cores[0], cores[-1], args.nice
    )
    runs: dict[str, list[Figures]] = {one.name: [] for one in chosen}
    for turn in range(args.repeat):
        for market in chosen:
            print(f"... {market.name}, run {turn + 1} of {args.repeat}", file=sys.stderr)
            runs[market.name].append(trial(bench, market))
    tables = "\n".join(_table(market, runs[market.name]) for market in chosen)
    print(tables)
    result = {
        "machine": machine(bench),
        "meaning": MEANING,
        "markets": [asdict(market) for market in chosen],
        "runs": runs,
    }
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(result, indent=1) + "\n")
    args.json.with_suffix(".txt").write_text(tables)
    print(f"results: {args.json}")
    return int(any(one[name] for figures in runs.values() for one in figures for name in FAULTS))


def _table(market: Market, runs: Sequence[Figures]) -> str:
    """Each run by itself, and their median where there are several."""
    columns: dict[str, Any] = {f"run {place}": one for place, one in enumerate(runs, 1)}
    if len(runs) > 1:
        columns["median"] = {name: statistics.median(one[name] for one in runs) for name in MEANING}
    lines = [
        f"{market.name}: {market.rate:,.0f} publications/s over {market.channels:,} channels,"
        f" window {market.window_ms} ms; {market.about}",
        "",
        _row("", list(columns)),
    ]
    for name, meaning in MEANING.items():
        cells = [_number(one[name]) for one in columns.values()]
        lines.append(f"{_row(name, cells)}   {meaning}")
    lines += [
        f"  BROKEN {column}: {name} {one[name]:.0f}"
        for column, one in columns.items()
        for name in FAULTS
        if one[name] and column != "median"
    ]
    return "\n".join(lines) + "\n"


def _row(label: str, cells: Sequence[str]) -> str:
    return f"  {label:24}" + "".join(f"{cell:>10}" for cell in cells)


def _number(value: float) -> str:
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


if __name__ == "__main__":
    run(main)
