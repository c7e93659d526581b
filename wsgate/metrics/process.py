"""The usual ``process_*`` metrics.

``prometheus_client`` has the same, but counts open files by listing them: 7 ms for 10,000, in
which no client is served. The kernel knows the number, since Linux 6.2.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from wsgate.metrics.families import counter, gauge
from wsgate.procfs import stat

OPEN_FILES: Final = Path("/proc/self/fd")


def process_registry() -> CollectorRegistry:
    """What every Python process tells, whatever it does: ``process_*`` and ``python_*``."""
    made = CollectorRegistry()
    made.register(ProcessMetrics())
    PlatformCollector(registry=made)
    GCCollector(registry=made)
    return made


class ProcessMetrics(Collector):
    """Of the process that it is in."""

    def __init__(self) -> None:
        self._booted_s = _booted_s()

    def collect(self) -> Iterator[Metric]:
        found = stat()
        yield gauge(
            "process_virtual_memory_bytes", "Virtual memory size in bytes.", found.virtual_bytes
        )
        yield gauge(
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            found.resident_bytes,
        )
        yield gauge(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            self._booted_s + found.start_s,
        )
        yield counter(
            "process_cpu_seconds",
            "Total user and system CPU time spent in seconds.",
            found.cpu_s,
        )
        yield gauge("process_open_fds", "Number of open file descriptors.", open_files())
        yield gauge(
            "process_max_fds",
            "Maximum number of open file descriptors.",
            resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        )


def open_files() -> int:
    """How many this process has."""
    return OPEN_FILES.stat().st_size or sum(1 for _ in OPEN_FILES.iterdir())  # 0: an older kernel


def _booted_s() -> int:
    """When the machine was, in seconds since 1970."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("btime "):
            return int(line.split()[1])
    raise RuntimeError("/proc/stat does not say when the machine was booted (btime)")
