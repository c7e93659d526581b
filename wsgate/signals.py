"""What signals ask of a process: to end, or to look at its settings."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable


class Signals:
    """SIGTERM and SIGINT, each told once for each time; SIGHUP calls ``on_hangup``."""

    def __init__(self) -> None:
        self.on_hangup: Callable[[], None] = lambda: None
        self._ends: asyncio.Queue[signal.Signals] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self._ends.put_nowait, signum)
        loop.add_signal_handler(signal.SIGHUP, lambda: self.on_hangup())

    async def end(self) -> signal.Signals:
        return await self._ends.get()
