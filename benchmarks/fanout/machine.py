"""Where and with what it was measured: the head of every result."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.fanout.build import SOURCES, compiler
from benchmarks.fanout.trial import Bench

PACKAGES = ("wsgate", "picows", "uvloop", "nats-py", "Cython")


def machine(bench: Bench) -> dict[str, Any]:
    changed = _first_line(["git", "status", "--porcelain", "--untracked-files=no"])
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _first_line(["git", "rev-parse", "--short=12", "HEAD"]),
        "commit_changed": bool(changed),
        "kernel": platform.release(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "server_core": bench.server_core,
        "other_core": bench.other_core,
        "nice": bench.nice,
        "load_average_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "compiler": _first_line([compiler(), "--version"]),
        "nats_server": _first_line([str(bench.nats_server), "--version"]),
        **{name: _version(name) for name in PACKAGES},
    }


def _first_line(command: Sequence[str]) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=SOURCES)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return (result.stdout.splitlines() or [""])[0]


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
