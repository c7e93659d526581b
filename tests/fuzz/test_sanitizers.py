"""The sanitized build would notice: what is wrong in C ends the process with a report."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import wsgate.core.frame

SANITIZED = f"{os.sep}asan{os.sep}" in wsgate.core.frame.__file__

OVERRUN = """
import ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
block = libc.malloc(16)
ctypes.memset(block, 0, 17)
"""


@pytest.mark.skipif(not SANITIZED, reason="not the sanitized build: make asan")
def test_a_byte_past_a_block_is_reported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OVERRUN], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr


@pytest.mark.skipif(not SANITIZED, reason="not the sanitized build: make asan")
@pytest.mark.parametrize("module", ["wsgate.core.fanout", "wsgate.edge.sink", "picows.picows"])
def test_a_module_is_sanitized(module: str) -> None:
    """Its code calls the sanitizer's, and counts what it reaches."""
    code = f"import {module} as m; print(m.__file__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    compiled = Path(done.stdout.strip()).read_bytes()
    assert b"__asan_report_load8" in compiled
    assert b"wsgate_coverage" in compiled
