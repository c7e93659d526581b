"""What signals ask of a process: to end, or to look at its settings."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable


class Signals:
    """SIGTERM and SIGINT, each told once for each time; and SIGHUP, for who listens to it."""

    def __init__(self) -> None:
        self._on_hangup: Callable[[], None] | None = None
        self._hung_up = False
        self._ends: asyncio.Queue[signal.Signals] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self._ends.put_nowait, signum)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)

    def on_hangup(self, call: Callable[[], None]) -> None:
        """Call it at each SIGHUP, and now if there was one before."""
        self._on_hangup = call
        if self._hung_up:
            call()

    def _hang_up(self) -> None:
        self._hung_up = True
        if self._on_hangup is not None:
            self._on_hangup()

    async def end(self) -> signal.Signals:
        return await self._ends.get()
