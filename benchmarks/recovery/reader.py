"""One client, and whether what it has of each channel has a hole or a repeat."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random

from wsgate.client import Client, Gap, Update


class Soon(Random):
    """Back-off within a second: a benchmark has no half a minute."""

    def uniform(self, a: float, b: float) -> float:
        return super().uniform(a, min(b, 1.0))


class Reader:
    """``last``: the counter in the newest event of each channel."""

    def __init__(self, port: int, channels: list[str], seed: int) -> None:
        self._client = Client(f"ws://127.0.0.1:{port}/", random=Soon(seed), on_gap=self._gap)
        self._channels = channels
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.last: dict[str, int] = {}
        self.faults: Counter[str] = Counter()
        self.received = 0

    async def start(self) -> None:
        """Return when it is subscribed."""
        self._task = asyncio.create_task(self._read())
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._task.done():
            self._task.result()

    async def stop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task})

    def has(self, counters: dict[str, int]) -> bool:
        """Whether it is where the publisher is."""
        return all(self.last.get(channel, 0) == counters[channel] for channel in self._channels)

    def _gap(self, gap: Gap) -> None:
        self.faults[f"gap_{gap.why}"] += 1

    async def _read(self) -> None:
        async with self._client as client:
            events = await client.subscribe(*self._channels, events_max=100_000)
            self._ready.set()
            async for update in events:
                self._take(update)

    def _take(self, update: Update) -> None:
        self.received += 1
        number = update.data["n"]
        before = self.last.get(update.channel)
        if before is not None and number <= before:
            self.faults["repeat"] += 1
        elif before is not None and number != before + 1:
            self.faults["hole"] += 1
        self.last[update.channel] = number
