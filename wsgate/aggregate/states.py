"""State channels: the first value at once, then the latest, at most once a window.

A channel is *quiet*, or in a *window* that began when its last value was written, or *due*: its
window is over, and it has a value that could not leave yet. All windows are equally long, so those
that began first end first: they are kept in that order, all of one write together, and one timer is
enough. A publication costs O(1), and a channel never holds more than its latest value.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from wsgate.aggregate.outgoing import Outgoing
from wsgate.sources.nats_commands import publish_command


class State:
    """One channel; ``busy`` unless it is quiet."""

    __slots__ = ("busy", "head", "held")

    def __init__(self, head: bytes) -> None:
        self.head = head
        self.busy = False
        self.held: bytes | None = None
        """The latest value, if it has not left."""


class States:
    """Adds to the batch of ``outgoing``; whoever writes that says so with :meth:`written`."""

    def __init__(self, outgoing: Outgoing, window_s: float, clock: Callable[[], float]) -> None:
        self._outgoing = outgoing
        self._batch = outgoing.batch
        self._window_s = window_s
        self._clock = clock
        self._windows: deque[tuple[float, list[State]]] = deque()
        self._led: list[State] = []
        """Those with a value in the batch: their windows begin when it is written."""
        self._due: deque[State] = deque()
        self._due_since_s = 0.0
        self.republished = 0
        self.conflated = 0
        self.held = 0

    @property
    def due_since_s(self) -> float | None:
        """How long a value has been waiting that may leave; None if there is none."""
        return self._due_since_s if self._due else None

    @property
    def next_end_s(self) -> float | None:
        """When the next window ends."""
        return self._windows[0][0] if self._windows else None

    def take(self, state: State, payload: bytes) -> None:
        """The hot path: into the batch, or held as the latest."""
        if state.held is not None:
            state.held = payload
            self.conflated += 1
        elif state.busy:
            state.held = payload
            self.held += 1
        else:
            state.busy = True
            if self._outgoing.open:
                self._batch.append(publish_command(state.head, payload))
                self._led.append(state)
            else:
                state.held = payload
                self.held += 1
                self._becomes_due(state, self._clock())

    def written(self, now_s: float) -> None:
        """The batch was written: windows begin."""
        if self._led:
            self.republished += len(self._led)
            self._windows.append((now_s + self._window_s, self._led))
            self._led = []

    def end_windows(self, now_s: float) -> None:
        """Whose window is over by now is quiet, or due."""
        while self._windows and self._windows[0][0] <= now_s:
            end_s, states = self._windows.popleft()
            for state in states:
                if state.held is None:
                    state.busy = False
                else:
                    self._becomes_due(state, min(end_s, now_s))

    def release(self, most: int) -> None:
        """Up to so many values that are due, into the batch."""
        for _ in range(min(most, len(self._due))):
            state = self._due.popleft()
            assert state.held is not None
            self._batch.append(publish_command(state.head, state.held))
            self._led.append(state)
            state.held = None
            self.held -= 1

    def _becomes_due(self, state: State, since_s: float) -> None:
        if not self._due:
            self._due_since_s = since_s
        self._due.append(state)
