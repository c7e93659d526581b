"""A flush window that adapts: none while the worker is quiet, wider as its CPU fills.

Writes are where the CPU goes, and a window lets more publications share one. So it is widened
while the worker is busier than BUSY, up to a bound, and narrowed while it is quieter than QUIET; in
between it stays, since what it saves is what made the worker quieter.
"""

from __future__ import annotations

from typing import Final

BUSY: Final = 0.7  # shares of a core
QUIET: Final = 0.45
WIDEST_S: Final = 0.1
LEAST_S: Final = 0.004  # a narrower one gathers hardly anything
WIDER: Final = 1.6
NARROWER: Final = 0.8
LOOK_INTERVAL_S: Final = 0.2  # CPU is counted in ticks of some milliseconds


class AdaptiveWindow:
    """Asked once in a while; ``window_s`` is from 0 to ``WIDEST_S``."""

    def __init__(self, now_s: float, cpu_s: float) -> None:
        self._now_s = now_s
        self._cpu_s = cpu_s
        self.window_s = 0.0

    def look(self, now_s: float, cpu_s: float) -> None:
        """``cpu_s``: what the process has used since it began."""
        elapsed_s = now_s - self._now_s
        if elapsed_s < LOOK_INTERVAL_S:
            return
        share = (cpu_s - self._cpu_s) / elapsed_s
        self._now_s, self._cpu_s = now_s, cpu_s
        if share > BUSY:
            self.window_s = min(WIDEST_S, max(LEAST_S, self.window_s * WIDER))
        elif share < QUIET:
            narrower_s = self.window_s * NARROWER
            self.window_s = narrower_s if narrower_s >= LEAST_S else 0.0
