"""What a container, or a unit of systemd, may use: the limits of the control groups we are in.

Version 1 has a tree for each controller, version 2 one for all; a limit of a group above counts as
well. In a container the paths of ``/proc/self/cgroup`` may be those of the host, which are not
there: then the top of the tree is the container's own group.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from wsgate.tools.doctor.files import ROOT, number, numbers, text

_UNLIMITED_FROM: Final = 1 << 60  # version 1 has a number for no limit, near the largest


@dataclass(frozen=True, slots=True)
class Limits:
    """None is no limit."""

    memory_bytes: int | None = None
    cpus: float | None = None


def read(root: Path = ROOT) -> Limits:
    memory = [_memory(group) for group in _groups(root, "memory")]
    cpus = [_cpus(group) for group in _groups(root, "cpu")]
    return Limits(
        min((one for one in memory if one is not None), default=None),
        min((one for one in cpus if one is not None), default=None),
    )


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Our group's folder for this controller, and those above it."""
    mount = root / "sys/fs/cgroup"
    for line in (text(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        tree = mount / controllers if controllers else mount
        inside = PurePosixPath(path.lstrip("/"))
        for part in (inside, *inside.parents):
            yield tree / part


def _memory(group: Path) -> int | None:
    found = number(group / "memory.max") or number(group / "memory.limit_in_bytes")
    return None if found is None or found >= _UNLIMITED_FROM else found


def _cpus(group: Path) -> float | None:
    quota = numbers(group / "cpu.max")  # "max 100000" if there is none
    if len(quota) != 2:
        quota = numbers(group / "cpu.cfs_quota_us") + numbers(group / "cpu.cfs_period_us")
    return quota[0] / quota[1] if len(quota) == 2 and quota[1] else None
