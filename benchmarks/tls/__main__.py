"""What does TLS cost? TLS 1.3 beside plain TCP, in one run on one machine.

Memory of a connection, CPU of a delivery, CPU of a handshake, full and resumed. The gateway is
alone on one core and fed by a real NATS server.
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

from benchmarks.fanout.__main__ import program
from benchmarks.fanout.build import OUT
from benchmarks.fanout.child import run
from benchmarks.fanout.machine import machine
from benchmarks.fanout.trial import Bench
from benchmarks.tls.trial import FULL, QUICK, Figures, build, certificate, trial

MEANING = {
    "pss_kb_per_connection": "memory per connection with one subscription, KB (PSS)",
    "pss_kb_per_connection_after": "... and what it grows by under traffic, KB",
    "cpu_us_per_delivery": "CPU per delivery, µs",
    "user_us_per_delivery": "of it in user mode, µs",
    "cpu_us_per_handshake_full": "CPU per handshake up to the 101 and its end, µs",
    "cpu_us_per_handshake_resumed": "... with a resumed TLS session, µs",
}


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tls",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--repeat", type=int, default=1, help="runs of each, interleaved; medians count")
    add("--connections", type=int, help=f"({FULL.connections})")
    add("--payload-bytes", type=int, help=f"of an update ({FULL.payload_bytes})")
    add("--key", choices=["p256", "rsa2048"], default="p256", help="of the certificate")
    add("--short", action="store_true", help="few and small: shows that it works")
    add("--nice", type=int, default=0, help="of all it starts; below 0 needs root")
    add("--json", type=Path, default=OUT / "tls.json", help="results; the table beside it")
    add("--nats-server", type=Path, help="the program (default: beside this Python, or in PATH)")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(argv)
    sizes = QUICK if args.short else FULL
    sizes = replace(
        sizes,
        connections=args.connections or sizes.connections,
        payload_bytes=args.payload_bytes or sizes.payload_bytes,
    )
    cores = sorted(os.sched_getaffinity(0))
    build()
    settings = {"plain": {}, "tls": certificate(args.key)}
    nats_server = program(args.nats_server, "nats-server", needed=True)
    bench = Bench(OUT, nats_server, Path(sys.executable), cores[0], cores[-1], args.nice)
    runs: dict[str, list[Figures]] = {name: [] for name in settings}
    for turn in range(args.repeat):
        for name, figures in runs.items():
            print(f"... {name}, run {turn + 1} of {args.repeat}", file=sys.stderr)
            with bench.nats() as nats_port:
                figures.append(trial(bench, sizes, nats_port, settings[name]))
    medians = {name: _medians(figures) for name, figures in runs.items()}
    table = _table(medians["plain"], medians["tls"])
    print(table)
    result = {
        "machine": machine(bench),
        "meaning": MEANING,
        "sizes": asdict(sizes),
        "key": args.key,
        **medians,
        "runs": runs,
    }
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(result, indent=1) + "\n")
    args.json.with_suffix(".txt").write_text(table)
    print(f"results: {args.json}")
    return 0


def _medians(figures: Sequence[Figures]) -> Figures:
    return {name: statistics.median(one[name] for one in figures) for name in figures[0]}


def _table(plain: Figures, tls: Figures) -> str:
    lines = ["| what | plain | TLS 1.3 |", "|---|---|---|"]
    for name, meaning in MEANING.items():
        shown = [f"{one[name]:.2f}" if name in one else "" for one in (plain, tls)]
        lines.append(f"| {meaning} | {shown[0]} | {shown[1]} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(main)
