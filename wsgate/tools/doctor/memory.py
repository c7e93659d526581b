"""Memory: what as many clients as WS_MAX_CONNECTIONS take, and what there is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wsgate.tools.doctor import cgroup
from wsgate.tools.doctor.files import ROOT
from wsgate.tools.doctor.finding import Finding, ok, problem, warning

TOPIC: Final = "memory"

# Measured; see docs/operations.md, "Limits of the machine", and the README's figures.
CONNECTION_BYTES: Final = 6_000
TLS_CONNECTION_BYTES: Final = 30_000
KERNEL_BYTES: Final = 5_000  # for each socket, with nothing queued
WORKER_BYTES: Final = 45_000_000
SUPERVISOR_BYTES: Final = 50_000_000
COMFORTABLE: Final = 0.8  # of what there is; the rest for what is queued, and for all else


@dataclass(frozen=True, slots=True)
class Memory:
    machine_bytes: int
    cgroup_bytes: int | None
    """None is no limit."""


def read(root: Path = ROOT) -> Memory:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Memory(machine, cgroup.read(root).memory_bytes)


def judge(found: Memory, *, connections: int, workers: int, tls: bool) -> Finding:
    there, whose = found.machine_bytes, "the machine has"
    if found.cgroup_bytes is not None and found.cgroup_bytes < there:
        there, whose = found.cgroup_bytes, "the control group allows"
    each = KERNEL_BYTES + (TLS_CONNECTION_BYTES if tls else CONNECTION_BYTES)
    base = SUPERVISOR_BYTES + workers * WORKER_BYTES
    needed = base + connections * each
    has = (
        f"WS_MAX_CONNECTIONS={connections} clients on {workers} workers take about"
        f" {_shown(needed)}; {whose} {_shown(there)}"
    )
    if needed <= COMFORTABLE * there:
        return ok(TOPIC, has)
    fitting = int((COMFORTABLE * there - base) / each)
    expected = f"at least {_shown(needed / COMFORTABLE)}, for what is queued as well"
    mend = "more memory (MemoryMax= of the unit, docker run --memory)"
    if fitting > 0:
        mend = f"WS_MAX_CONNECTIONS={fitting}, or {mend}"
    return (warning if needed <= there else problem)(TOPIC, has, expected=expected, mend=mend)


def _shown(size_bytes: float) -> str:
    return f"{size_bytes / 1e9:.2f} GB"
