"""The streams that keep a source's subjects, over all its connections.

``attach`` to a link says what is left to core NATS; ``follow`` sets the streams going, ``filled``
waits for them, ``detach`` ends it. What is known of a stream stays for the next link.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

from wsgate.protocol import is_channel
from wsgate.rules import matches
from wsgate.sources.jetstream.api import JetStreamAbsent, JetStreamApi, JetStreamError
from wsgate.sources.jetstream.coverage import Coverage, find_coverage
from wsgate.sources.jetstream.follower import Follower, Surroundings
from wsgate.sources.jetstream.replay import Replays
from wsgate.sources.nats_link import NatsLink, end
from wsgate.sources.nats_report import JetStreamUnavailable, NatsReporter


class StreamsChanged(Exception):
    """Other streams keep the subjects than when this connection began."""


class Streams:
    """Is the owner of its followers."""

    def __init__(
        self,
        subjects: Sequence[str],
        names: Sequence[str] | None,
        nats_report: NatsReporter,
        around: Surroundings,
    ) -> None:
        self._subjects = tuple(subjects)
        self._names = names
        self._nats_report = nats_report
        self._report = around.report
        self._around = around
        self._limits = around.limits
        self._coverage = Coverage(rest=self._subjects)
        self._followers: dict[str, Follower] = {}
        self._resets_before: Counter[str] = Counter()
        self._restored_before = self._repeated_before = 0
        self._api: JetStreamApi | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._filled = asyncio.Event()
        self._announced = self._announced_before = False
        self.replays = Replays(around.limits)

    async def attach(self, link: NatsLink) -> tuple[str, ...]:
        """Find the streams; the subjects that none of them keeps. May raise JetStreamUnavailable"""
        self._api = api = JetStreamApi(link, self._limits.api_timeout_s)
        self._filled.clear()
        try:
            coverage = await self._find(api)
        except JetStreamError as error:
            raise JetStreamUnavailable(str(error)) from error
        self._report.covered(coverage)
        self._coverage = coverage
        self._take(coverage)
        return coverage.rest

    def follow(self) -> None:
        """Begin; `filled` when all streams are at what is published now."""
        assert self._api is not None, "attach first"
        tasks = [self._follow(follower, self._api) for follower in self._followers.values()]
        if self._api.link.may_have_jetstream:
            tasks.append(self._recheck(self._api))
        self._tasks = [asyncio.create_task(one) for one in tasks]
        self._see_whether_filled()

    @property
    def rest(self) -> tuple[str, ...]:
        """What no stream keeps."""
        return self._coverage.rest

    async def filled(self) -> None:
        await self._filled.wait()

    def announce(self) -> None:
        """The source says now that it is live."""
        self._announced = self._announced_before = True

    async def detach(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            await end(task)
        self._api = None
        self._announced = False

    async def replay(self, subject: str, after: int, epoch: str) -> list[tuple[int, bytes]] | None:
        if self._api is None or not is_channel(subject):
            return None
        for follower in self._followers.values():
            life = follower.life
            if not follower.is_ready or life is None or life.epoch != epoch:
                continue
            if any(matches(one, subject) for one in follower.subjects):
                return await self.replays.replay(self._api, follower.stream, life, subject, after)
        return None

    def snapshot(self) -> dict[str, int | float | str]:
        followers = self._followers.values()
        resets = sum((one.resets for one in followers), self._resets_before)
        return {
            "streams": len(followers),
            "restored": self._restored_before + sum(one.restored for one in followers),
            "repeated": self._repeated_before + sum(one.repeated for one in followers),
            **self.replays.snapshot(),
            **{f"stream_seq.{one.stream}": one.last for one in followers},
            **{f"resets.{reason}": count for reason, count in resets.items()},
        }

    # The owner of a follower

    def ready(self) -> None:
        self._see_whether_filled()
        if self._announced and not self._nats_report.live and self._all_ready():
            self._nats_report.came_live(())

    def late(self, stream: str) -> None:
        if self._nats_report.live:
            self._report.late(stream)
            self._nats_report.went_stale()

    def missed(self, subjects: Sequence[str]) -> None:
        self._nats_report.missed(subjects)

    # Below

    def _all_ready(self) -> bool:
        return all(follower.is_ready for follower in self._followers.values())

    def _see_whether_filled(self) -> None:
        if self._all_ready():
            self._filled.set()

    async def _find(self, api: JetStreamApi) -> Coverage:
        try:
            if not api.link.may_have_jetstream:
                raise JetStreamAbsent("the server is too old")
            return await find_coverage(api, self._subjects, self._names)
        except JetStreamAbsent as error:
            self._report.absent(error)
            return Coverage(rest=self._subjects)

    def _take(self, coverage: Coverage) -> None:
        """Go on with the followers that are right still, and replace the others."""
        before, self._followers = self._followers, {}
        for stream, subjects in coverage.streams.items():
            follower = before.get(stream)
            if follower is None or follower.subjects != subjects:
                follower = Follower(
                    stream, subjects, self, self._around, known_before=self._announced_before
                )
            self._followers[stream] = follower
        for follower in before.values():
            if follower not in self._followers.values():
                self._resets_before += follower.resets
                self._restored_before += follower.restored
                self._repeated_before += follower.repeated
                left = tuple(one for one in follower.subjects if one in coverage.rest)
                if left:
                    self._report.left(left)

    async def _follow(self, follower: Follower, api: JetStreamApi) -> None:
        try:
            await follower.follow(api)
        except Exception as error:
            # The stream is gone, or something nobody thought of: look anew at what there is.
            api.link.lose(error)

    async def _recheck(self, api: JetStreamApi) -> None:
        while True:
            await asyncio.sleep(self._limits.recheck_s)
            try:
                coverage = await self._find(api)
            except Exception:
                continue  # it will be seen next time; whether it can be had is others' business
            if coverage.streams != {one.stream: one.subjects for one in self._followers.values()}:
                api.link.lose(StreamsChanged("other streams keep the subjects now"))
                return
