"""What a stream held when the gateway came: the last of each subject, and the events before.

Up to the sequence that was the stream's last when the fill began; the tail takes over behind it.
First comes the last publication of every subject, without those events that the history brings,
then the history: so each subject's come in order, and the last event of a quiet subject is known
too. What was restored is not restored again when a fill goes on over another connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from wsgate.rules import Kind
from wsgate.sources.history import History, Kinds
from wsgate.sources.jetstream.api import Consumer, JetStreamApi, JetStreamError, StreamInfo
from wsgate.sources.jetstream.pull import Pull, Stored
from wsgate.sources.nats_limits import NatsLimits

Restore = Callable[[str, bytes, int], None]

_PORTION_BYTES: Final = 1024 * 1024
_PROBES_MAX: Final = 16


class Fill:
    """``prepare``, then ``run`` until it is through; each may be called again after a failure."""

    def __init__(
        self,
        stream: StreamInfo,
        subjects: Sequence[str],
        kinds: Kinds,
        history: History,
        limits: NatsLimits,
        *,
        restore: Restore,
        progress: Callable[[int, int], None],
    ) -> None:
        self._stream = stream
        self._subjects = subjects
        self._with_events = kinds.with_events(subjects)
        self._kinds = kinds
        self._history = history
        self._limits = limits
        self._restore = restore
        self._progress = progress
        self._told_at = asyncio.get_running_loop().time()
        self._done = {False: 0, True: 0}
        self.until = stream.last_seq
        """Up to here it fills."""
        self.begins = self.until + 1
        """From here on all publications of events are told."""
        self.restored = 0

    async def prepare(self, api: JetStreamApi) -> None:
        """Find out how far back it goes."""
        if not self._with_events or self._stream.messages == 0:
            return
        since = _parsed(self._stream.time) - timedelta(seconds=self._history.age_s)
        found = await self._probe(
            api, deliver_policy="by_start_time", opt_start_time=since.isoformat()
        )
        count = self._count_max()
        if found.pending > count:
            found = await self._shorten(api, found.begins, count)
        limit = self._stream.per_subject_max
        if limit and found.pending >= limit:
            # Of some subject the stream may have dropped what is as new as this.
            return
        self.begins = min(found.begins, self.until + 1)

    async def run(self, api: JetStreamApi, check: Callable[[], Awaitable[StreamInfo]]) -> None:
        """``check`` is awaited once consumers exist, before what they bring is believed.

        Raises HistoryGone when the stream drops history faster than it can be read.
        """
        async with Pull(
            api, self._stream.name, self._subjects, self._limits, deliver_policy="last_per_subject"
        ) as pull:
            await check()
            await self._read(pull, history=False)
        if self.begins > self.until:
            return
        async with Pull(
            api,
            self._stream.name,
            self._with_events,
            self._limits,
            deliver_policy="by_start_sequence",
            opt_start_seq=max(self.begins, self._done[True] + 1),
        ) as pull:
            await check()
            await self._read(pull, history=True)
        # Looked at last: what was dropped before it was read was first.
        limit = self._stream.per_subject_max
        if (await check()).first_seq > self.begins or (
            limit and (await self._probe_at(api, self.begins)).pending >= limit
        ):
            raise HistoryGone(f"{self._stream.name} has dropped what was to be read of it")

    async def _read(self, pull: Pull, *, history: bool) -> None:
        bytes_max = _PORTION_BYTES + pull.payload_bytes_max
        total = left = pull.consumer.pending
        while left > 0:
            portion = await pull.portion(min(left, self._limits.portion), bytes_max)
            if not portion and pull.cut_short:
                portion = await pull.portion(1)  # from when the server took larger ones
            for stored in portion:
                if stored.seq > self.until:
                    return
                if stored.seq > self._done[history]:
                    self._take(stored, history)
                    self._done[history] = stored.seq
            if not portion:
                return
            left -= len(portion)
            self._tell(total - left, total)
            await asyncio.sleep(0)

    def _take(self, stored: Stored, history: bool) -> None:
        kind = self._kinds.of(stored.subject)
        if kind is Kind.EVENT:
            wanted = history or stored.seq < self.begins
        else:
            wanted = kind is Kind.STATE and not history
        if wanted:
            self.restored += 1
            self._restore(stored.subject, stored.payload, stored.seq)

    def _count_max(self) -> int:
        average = max(1, self._stream.bytes // max(1, self._stream.messages))
        return min(self._history.count, self._history.bytes // average)

    async def _shorten(self, api: JetStreamApi, begins: int, count: int) -> Consumer:
        """The longest history, nearly, that is not too much."""
        too_early, late_enough = begins, self.until + 1
        found = await self._probe_at(api, late_enough)
        for _ in range(_PROBES_MAX):
            if late_enough - too_early <= 1:
                break
            middle = (too_early + late_enough) // 2
            at_middle = await self._probe_at(api, middle)
            if at_middle.pending > count:
                too_early = middle
            else:
                late_enough, found = middle, at_middle
        return found

    async def _probe_at(self, api: JetStreamApi, seq: int) -> Consumer:
        return await self._probe(api, deliver_policy="by_start_sequence", opt_start_seq=seq)

    async def _probe(self, api: JetStreamApi, **policy: Any) -> Consumer:
        """How much there is from somewhere on."""
        async with Pull(api, self._stream.name, self._with_events, self._limits, **policy) as pull:
            return pull.consumer

    def _tell(self, read: int, total: int) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._told_at >= self._limits.progress_interval_s:
            self._told_at = now
            self._progress(read, total)


class HistoryGone(JetStreamError):
    """What was to be told is not all there any more: begin anew, with less."""


def _parsed(time: str) -> datetime:
    """What the server calls now, which is what its messages are dated by."""
    try:
        seconds, _, fraction = time.removesuffix("Z").partition(".")
        return datetime.fromisoformat(f"{seconds}.{fraction[:6]:0<6}+00:00")
    except ValueError:
        return datetime.now(UTC)
