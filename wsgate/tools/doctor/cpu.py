"""Cores: one for each worker is what makes sense."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wsgate.tools.doctor import cgroup
from wsgate.tools.doctor.files import ROOT
from wsgate.tools.doctor.finding import Finding, ok, warning

TOPIC: Final = "CPU"


@dataclass(frozen=True, slots=True)
class Cores:
    """``usable``: those that this process may run on. ``quota``: None is no limit."""

    usable: int
    quota: float | None


def read(root: Path = ROOT) -> Cores:
    return Cores(len(os.sched_getaffinity(0)), cgroup.read(root).cpus)


def judge(found: Cores, *, workers: int) -> Finding:
    has = f"{workers} workers on {found.usable} cores"
    cores = float(found.usable)
    if found.quota is not None and found.quota < cores:
        cores = found.quota
        has += f", of which the control group allows {cores:g}"
    sensible = max(1, int(cores))
    if workers <= sensible:
        return ok(TOPIC, has)
    return warning(
        TOPIC,
        f"{has}: they take turns, and clients wait meanwhile",
        expected="no more workers than cores",
        mend=f"WS_WORKERS={sensible}",
    )
