"""An event loop of which a test runs each round, and tells the time."""

from __future__ import annotations

from collections.abc import Callable


class Handle:
    def __init__(self, due_s: float, callback: Callable[[], object]) -> None:
        self.due_s = due_s
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class MadeUpLoop:
    """Time passes when told; a round runs what is due, and nothing that it brings about."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.handles: list[Handle] = []

    def time(self) -> float:
        return self.now_s

    def call_soon(self, callback: Callable[[], object]) -> Handle:
        return self.call_later(0.0, callback)

    def call_later(self, delay_s: float, callback: Callable[[], object]) -> Handle:
        self.handles.append(Handle(self.now_s + delay_s, callback))
        return self.handles[-1]

    def round(self, after_s: float = 0.0) -> None:
        self.now_s += after_s
        due = [one for one in self.handles if one.due_s <= self.now_s]
        self.handles = [one for one in self.handles if one not in due]
        for handle in due:
            if not handle.cancelled:
                handle.callback()
