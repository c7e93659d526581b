"""What the kernel says a process has used, its children included."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sample:
    at_s: float
    user_s: float
    system_s: float
    pss_kb: int
    server_core_s: float
    other_core_s: float
    """Everybody's time on each core, and the benchmark's own: the rest is disturbance."""
    own_s: float

    @property
    def cpu_s(self) -> float:
        return self.user_s + self.system_s


def family(pid: int) -> list[int]:
    """The process and its descendants; one that has just ended may still be among them."""
    pids = [pid]
    for parent in pids:
        with suppress(FileNotFoundError):
            tasks = list((PROC / str(parent) / "task").iterdir())
            for task in tasks:
                with suppress(FileNotFoundError, ProcessLookupError):
                    pids += map(int, (task / "children").read_text().split())
    return pids


def cpu_ns(pid: int) -> int:
    """Of all its threads; to the nanosecond once they sleep, where ``stat`` counts clock ticks."""
    tasks = (PROC / str(pid) / "task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def pss_kb(pid: int) -> int:
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def _cpu_s(pid: int) -> tuple[float, float]:
    # The name, in parentheses, may hold spaces.
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) * TICK_S, int(fields[12]) * TICK_S


def _core_busy_s(core: int) -> float:
    for line in (PROC / "stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            user, nice, system, _idle, _iowait, irq, softirq = map(int, line.split()[1:8])
            return (user + nice + system + irq + softirq) * TICK_S
    return 0.0


def sample(pid: int, server_core: int, other_core: int) -> Sample:
    pids = family(pid)
    times = [_cpu_s(one) for one in pids]
    at_s = time.monotonic()
    return Sample(
        at_s=at_s,
        user_s=sum(user for user, _ in times),
        system_s=sum(system for _, system in times),
        pss_kb=sum(map(pss_kb, pids)),
        server_core_s=_core_busy_s(server_core),
        other_core_s=_core_busy_s(other_core),
        own_s=sum(sum(_cpu_s(one)) for one in family(os.getpid())),
    )


def disturbance(before: Sample, after: Sample) -> tuple[float, float]:
    """Use of the server's core, and of the other one, by others than the benchmark."""
    span_s = after.at_s - before.at_s
    server_s = after.cpu_s - before.cpu_s
    rest_s = after.own_s - before.own_s - server_s
    return (
        max(0.0, after.server_core_s - before.server_core_s - server_s) / span_s,
        max(0.0, after.other_core_s - before.other_core_s - rest_s) / span_s,
    )
