"""What the kernel tells of a process: ``/proc/<pid>/stat``, see proc_pid_stat(5)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

PROC: Final = Path("/proc")
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
# Places behind the program's name, which may have spaces in it, and its state, a letter.
_USER_TICKS, _KERNEL_TICKS, _START_TICKS, _VIRTUAL_BYTES, _RESIDENT_PAGES = 10, 11, 18, 19, 20


class Stat(NamedTuple):
    """``start_s`` is since the machine was booted."""

    cpu_s: float
    start_s: float
    virtual_bytes: int
    resident_bytes: int


def stat(pid: int | str = "self") -> Stat:
    """FileNotFoundError or ProcessLookupError if the process is gone."""
    _, _, behind_name = (PROC / str(pid) / "stat").read_bytes().rpartition(b") ")
    fields = [int(one) for one in behind_name.split()[1:]]
    return Stat(
        cpu_s=(fields[_USER_TICKS] + fields[_KERNEL_TICKS]) * _TICK_S,
        start_s=fields[_START_TICKS] * _TICK_S,
        virtual_bytes=fields[_VIRTUAL_BYTES],
        resident_bytes=fields[_RESIDENT_PAGES] * PAGE_BYTES,
    )
