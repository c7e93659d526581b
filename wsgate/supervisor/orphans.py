"""What the first process of a container inherits: processes whose own parent is gone.

Nobody else can reap them. They come of shells that somebody runs in there, not of the gateway.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def reap_if_first() -> None:
    """From now on, on the running loop, if this is process 1."""
    if os.getpid() == 1:
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, reap)


def reap() -> None:
    """The dead of other sessions. Workers are of ours, and waited for where they were started."""
    own = os.getsid(0)
    for pid in _children():
        with suppress(ProcessLookupError, ChildProcessError):
            if os.getsid(pid) != own:
                os.waitpid(pid, os.WNOHANG)


def _children() -> Iterator[int]:
    # Without them being listed (a kernel may be built so) nothing is reaped.
    for listed in Path("/proc/self/task").glob("*/children"):
        with suppress(FileNotFoundError):
            yield from map(int, listed.read_text().split())
