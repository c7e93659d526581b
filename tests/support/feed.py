"""A feed that remembers what a source told it, and lets a test wait for more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import uvloop

DEADLINE_S = 20.0

T = TypeVar("T")


def run(test: Coroutine[Any, Any, T]) -> T:
    """Run a test on uvloop, as in production; end it if it hangs."""

    async def within_limits() -> T:
        async with asyncio.timeout(3 * DEADLINE_S):
            return await test

    return uvloop.run(within_limits())


async def until(condition: Callable[[], object], what: str = "the condition") -> None:
    """Look again and again; only for what cannot notify."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"waited {DEADLINE_S:g} s for {what}") from None


class RecordingFeed:
    """``events`` holds everything but publications, in order; ``messages`` holds those."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.messages: list[tuple[str, bytes]] = []
        self.positions: list[tuple[str, int, str]] = []
        """The subject, seq and epoch of each message that had one."""
        self.restored: list[tuple[str, bytes, int, str]] = []
        self.lost: dict[str, int] = {}
        """By epoch: up to where publications may be lost."""
        self.controls: list[tuple[str, bytes]] = []
        self.caught_up_at: list[int] = []
        """How many messages had come, each time that it was told so."""
        self._changed = asyncio.Event()

    def publish(self, subject: str, payload: bytes, seq: int = 0, epoch: str = "") -> bool:
        self.messages.append((subject, payload))
        if seq:
            self.positions.append((subject, seq, epoch))
        self._changed.set()
        return True

    def begin_epoch(self, source: str, epoch: str, subjects: Sequence[str], floor: int) -> None:
        self.events.append(("epoch", source, epoch, tuple(subjects), floor))
        self._changed.set()

    def lose_up_to(self, epoch: str, seq: int) -> None:
        self.lost[epoch] = seq

    def restore(self, subject: str, payload: bytes, seq: int, epoch: str) -> bool:
        self.restored.append((subject, payload, seq, epoch))
        self._changed.set()
        return True

    def control(self, subject: str, payload: bytes) -> None:
        self.controls.append((subject, payload))
        self._changed.set()

    def feed_stale(self, source: str) -> None:
        self._note("stale", source)

    def feed_live(self, source: str, missed: Sequence[str]) -> None:
        self._note("live", source, *missed)

    def caught_up(self) -> None:
        self.caught_up_at.append(len(self.messages))
        self._changed.set()

    def feed_gap(self, source: str, missed: Sequence[str]) -> None:
        self._note("gap", source, *missed)

    def _note(self, *event: str) -> None:
        self.events.append(event)
        self._changed.set()

    @property
    def payloads(self) -> list[bytes]:
        return [payload for _, payload in self.messages]

    async def until(self, condition: Callable[[], object], what: str = "the condition") -> None:
        """Wait for something that depends on what is recorded here."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(
                f"waited {DEADLINE_S:g} s for {what}; events {self.events},"
                f" {len(self.messages)} messages, the last {self.messages[-3:]}"
            ) from None

    async def until_events(self, *events: tuple[Any, ...]) -> None:
        """Wait until these, and no others, have come so far."""
        await self.until(lambda: len(self.events) >= len(events), f"events {events}")
        assert self.events == list(events)

    async def until_received(self, payload: bytes) -> None:
        await self.until(lambda: payload in self.payloads, f"payload {payload!r}")
