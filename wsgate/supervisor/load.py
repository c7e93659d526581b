"""What all workers together use of CPU and memory, held against its limits once a second.

Past one of them the board says so, and every worker refuses new clients until it has fallen: those
who are there keep what they have, and who comes is told at once to go elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import structlog

from wsgate.board import Board
from wsgate.procfs import PAGE_BYTES, PROC, stat

log = structlog.get_logger("wsgate.supervisor")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadLimits:
    """None is no limit."""

    cpu_cores: float | None
    memory_bytes: int | None


NO_LIMITS: Final = LoadLimits(cpu_cores=None, memory_bytes=None)


@dataclass(frozen=True, slots=True)
class Use:
    """Of one process: CPU seconds since its start, and memory that is its own."""

    cpu_s: float
    memory_bytes: int


def use_of(pid: int) -> Use | None:
    """None if the process is gone."""
    try:
        cpu_s = stat(pid).cpu_s
        resident, shared = (PROC / str(pid) / "statm").read_text().split()[1:3]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Use(cpu_s, (int(resident) - int(shared)) * PAGE_BYTES)


class Load:
    """Looks when it is told to. ``overloads`` counts the times that a limit was passed."""

    def __init__(
        self,
        board: Board,
        limits: LoadLimits,
        look: Callable[[int], Use | None] = use_of,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board = board
        self._limits = limits
        self._look = look
        self._clock = clock
        self._looked_at_s = clock()
        self._cpu_s: dict[int, float] = {}  # by process, when it was last looked at
        self.cores = 0.0
        self.memory_bytes = 0
        self.overloads = 0

    def measure(self, pids: Iterable[int]) -> None:
        """Of these processes, since the last time; and tell the workers."""
        now_s = self._clock()
        elapsed_s, self._looked_at_s = now_s - self._looked_at_s, now_s
        found = {pid: use for pid in pids if (use := self._look(pid)) is not None}
        # What a process has used before it was first seen is not of this time.
        used_s = sum(use.cpu_s - self._cpu_s.get(pid, use.cpu_s) for pid, use in found.items())
        self._cpu_s = {pid: use.cpu_s for pid, use in found.items()}
        self.cores = used_s / elapsed_s if elapsed_s > 0 else 0.0
        self.memory_bytes = sum(use.memory_bytes for use in found.values())
        self._judge()

    @property
    def lacks_memory(self) -> bool:
        """More is in use than may be."""
        limit = self._limits.memory_bytes
        return limit is not None and self.memory_bytes > limit

    def _judge(self) -> None:
        past = self._past()
        if bool(past) != self._board.overloaded:
            self._board.overloaded = bool(past)
            if past:
                self.overloads += 1
                log.warning("overloaded: new clients are refused", because=past)
            else:
                log.info("no more overloaded: new clients are welcome")

    def _past(self) -> list[str]:
        """Which limits are passed, in words."""
        past = []
        cpu, memory = self._limits.cpu_cores, self._limits.memory_bytes
        if cpu is not None and self.cores > cpu:
            past.append(f"{self.cores:.2f} cores in use, WS_CPU_LIMIT is {cpu:g}")
        if self.lacks_memory:
            past.append(f"{self.memory_bytes} bytes in use, WS_MEMORY_LIMIT is {memory}")
        return past
