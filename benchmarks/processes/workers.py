"""The gateway's processes as the kernel sees them: which there are, what they used and hold."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.fanout.sample import cpu_ns, family, pss_kb


def workers(supervisor: int) -> set[int]:
    """Their process ids."""
    return set(family(supervisor)[1:])


def workers_pss_kb(supervisor: int) -> int:
    return sum(map(pss_kb, workers(supervisor)))


@dataclass(frozen=True)
class Cpu:
    """So far, or between two looks."""

    workers_us: float
    supervisor_us: float

    def __sub__(self, before: Cpu) -> Cpu:
        return Cpu(self.workers_us - before.workers_us, self.supervisor_us - before.supervisor_us)

    def __add__(self, other: Cpu) -> Cpu:
        return Cpu(self.workers_us + other.workers_us, self.supervisor_us + other.supervisor_us)


def cpu(supervisor: int) -> Cpu:
    """Only to be compared while no worker comes or goes."""
    return Cpu(sum(map(cpu_ns, workers(supervisor))) / 1000, cpu_ns(supervisor) / 1000)
