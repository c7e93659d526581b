"""One stream, followed through all that happens to it: filled once, then without a seam.

It outlives connections, and knows two things of the stream: the epoch that its numbers count in,
and the last number that was handed over. As long as the epoch is the same it goes on behind that
number, and tells of a hole only if the stream has dropped what came next.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Protocol

from wsgate.backoff import full_jitter
from wsgate.sources import Feed
from wsgate.sources.history import History, Kinds
from wsgate.sources.jetstream.api import JetStreamApi, JetStreamError, StreamGone, StreamInfo
from wsgate.sources.jetstream.fill import Fill, HistoryGone
from wsgate.sources.jetstream.origin import Life, life_of, origin_of
from wsgate.sources.jetstream.report import StreamReporter
from wsgate.sources.jetstream.tail import Tail
from wsgate.sources.nats_limits import NatsLimits
from wsgate.sources.nats_link import end


class FollowerOwner(Protocol):
    """Whom a follower reports to. None of these may raise."""

    def ready(self) -> None:
        """Whatever is published from here on will be handed over."""

    def late(self, stream: str) -> None:
        """It has not been ready for too long."""

    def missed(self, subjects: Sequence[str]) -> None:
        """Publications of these are lost, or may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all followers of a source share."""

    feed: Feed
    report: StreamReporter
    kinds: Kinds
    history: History
    limits: NatsLimits
    random: Random


class Follower:
    """``follow`` it over one link after another."""

    def __init__(
        self,
        stream: str,
        subjects: Sequence[str],
        owner: FollowerOwner,
        around: Surroundings,
        *,
        known_before: bool,
    ) -> None:
        self.stream = stream
        self.subjects = tuple(subjects)
        self.life: Life | None = None
        self.is_ready = False
        self.resets: Counter[str] = Counter()
        self._owner = owner
        self._around = around
        self._report = around.report
        self._limits = around.limits
        self._history = around.history
        self._with_events = around.kinds.with_events(subjects)
        # The feed may have values and positions of these subjects from before this stream.
        self._known_before = known_before
        self._fill: Fill | None = None
        self._fill_anew = False
        self._tail: Tail | None = None
        self._last = 0
        self._restored = 0
        self._repeated = 0
        self._late: asyncio.TimerHandle | None = None

    @property
    def last(self) -> int:
        """Up to here everything was handed over."""
        return self._last if self._tail is None else self._tail.last

    @property
    def restored(self) -> int:
        return self._restored + (0 if self._fill is None else self._fill.restored)

    @property
    def repeated(self) -> int:
        return self._repeated + (0 if self._tail is None else self._tail.repeated)

    async def follow(self, api: JetStreamApi) -> None:
        """Until it is cancelled, or the link lost; raises StreamGone."""
        failures = 0
        try:
            while True:
                reason, lasted_s = await self._live_through(api)
                if api.link.is_lost:
                    return
                self.resets[reason] += 1
                self._report.reset(self.stream, reason, self._last)
                self._wait_with_patience()
                failures = 0 if lasted_s > self._limits.consumer_heartbeat_s else failures + 1
                await asyncio.sleep(self._delay_s(failures))
        finally:
            self._be_patient_no_more()

    async def _live_through(self, api: JetStreamApi) -> tuple[str, float]:
        """One consumer from beginning to end; why it ended, and for how long it was good."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        looking: asyncio.Task[None] | None = None
        try:
            tail = await self._open(api)
            looking = asyncio.create_task(self._look_for_drops(api, tail))
            if await tail.caught_up():
                began = loop.time()
                self._be_patient_no_more()
                self.is_ready = True
                self._owner.ready()
            return await tail.watch(), loop.time() - began
        except StreamGone:
            raise
        except Exception as error:
            if not api.link.is_lost:
                self._report.trouble(self.stream, error)
            return "unavailable", 0.0
        finally:
            self.is_ready = False
            if looking is not None:
                await end(looking)
            await self._end_tail()

    async def _look_for_drops(self, api: JetStreamApi, tail: Tail) -> None:
        """Who is behind by more than a stream keeps is delivered what is left, without a word."""
        while self._with_events:  # of state the latest is all that counts
            last = await tail.leapt()
            try:
                stream = await api.stream(self.stream)
            except Exception as error:
                self._report.trouble(self.stream, error)
            else:
                if stream.first_seq > last + 1:
                    dropped = "the stream drops what is still to come"
                    self._miss(self._with_events, dropped, up_to=tail.last)
            await asyncio.sleep(self._limits.leaps_interval_s)

    async def _open(self, api: JetStreamApi) -> Tail:
        """Fill, unless that is done, and return a tail that has begun behind it."""
        stream = await api.stream(self.stream)
        life = await self._life_now(api, stream)
        another = self.life is None or life.epoch != self.life.epoch
        if another or self._fill_anew:
            await self._begin(api, stream, life)
            if another and self._known_before:
                self._miss(self.subjects, "the stream is another than before")
            self._known_before, self._fill_anew = True, False
        self.life = life
        if self._fill is not None:
            await self._finish(api, self._fill, life)
        self._tail = tail = Tail(
            api, self._around.feed.publish, self._report.feed_failed, life.epoch, self._limits
        )
        consumer = await tail.open(self.stream, self.subjects, self._last)
        now = await self._check(api, life)
        if consumer.begins > self._last + 1:
            dropped = "the stream has dropped what came next"
            self._miss(self.subjects, dropped, up_to=consumer.begins - 1)
        elif self._with_events and 0 < stream.per_subject_max <= consumer.pending:
            too_few = "the stream keeps too few of each subject to tell"
            self._miss(self._with_events, too_few, up_to=now.last_seq)
        await tail.begin()
        return tail

    async def _end_tail(self) -> None:
        tail = self._tail
        if tail is not None:
            await tail.close()
            self._last, self._repeated, self._tail = tail.last, self.repeated, None

    # Which stream it is

    async def _life_now(self, api: JetStreamApi, stream: StreamInfo) -> Life:
        """Another epoch than before: what was known of the stream is of no use."""
        life = life_of(stream, await origin_of(api, stream), self.life)
        if stream.mirror is None and stream.last_seq < self._last and life == self.life:
            # A mirror may be behind. Any other would give numbers that were given before.
            return life.fork()
        return life

    async def _check(self, api: JetStreamApi, life: Life) -> StreamInfo:
        """Raise unless it is the same stream still: a consumer may have been made on another."""
        stream = await api.stream(self.stream)
        if stream.created != life.created:
            raise JetStreamError(f"{self.stream} was made anew just now")
        return stream

    # Filling

    async def _begin(self, api: JetStreamApi, stream: StreamInfo, life: Life) -> None:
        around = self._around
        restore = around.feed.restore

        def restore_one(subject: str, payload: bytes, seq: int) -> None:
            try:
                restore(subject, payload, seq, life.epoch)
            except Exception as error:
                self._report.feed_failed(error)

        fill = Fill(
            stream,
            self.subjects,
            around.kinds,
            self._history,
            around.limits,
            restore=restore_one,
            progress=partial(self._report.filling, self.stream),
        )
        await fill.prepare(api)
        await self._check(api, life)
        self._restored, self._fill, self._last = self.restored, fill, 0
        self._report.begins(self.stream, self.subjects, life.epoch, fill.begins - 1)

    async def _finish(self, api: JetStreamApi, fill: Fill, life: Life) -> None:
        try:
            await fill.run(api, partial(self._check, api, life))
        except HistoryGone:
            self._history, self._fill_anew = self._history.less(), True
            raise
        self._history = self._around.history
        self._report.filled(self.stream, fill.restored, fill.until)
        self._restored, self._last, self._fill = self.restored, fill.until, None

    def _miss(self, subjects: Sequence[str], reason: str, *, up_to: int = 0) -> None:
        """``up_to``: where the loss ends, if it is in the epoch that goes on."""
        if up_to:
            assert self.life is not None
            self._report.lose_up_to(self.life.epoch, up_to)
        self._report.missed(self.stream, subjects, reason)
        self._owner.missed(subjects)

    # Waiting

    def _delay_s(self, failures: int) -> float:
        if failures == 0:
            return 0.0
        limits = self._limits
        return full_jitter(
            failures - 1,
            base_s=limits.backoff_base_s,
            cap_s=limits.backoff_cap_s,
            random=self._around.random,
        )

    def _wait_with_patience(self) -> None:
        if self._late is None:
            loop = asyncio.get_running_loop()
            self._late = loop.call_later(self._limits.stale_after_s, self._owner.late, self.stream)

    def _be_patient_no_more(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
