"""The regulator: publications past a rate. State waits as its latest value, events are dropped.

Two rates: of all publications that sources bring, and of those that somebody is subscribed to,
which are broadcast. Both allow at once what they allow in a second.

A state that waits is published as soon as the rates allow, the one that waits for longest first.
Who would receive a dropped event is told by a gap in its place. While there is more of both than
may pass, each has every other turn.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Protocol

from wsgate.limits import Limits
from wsgate.rates import TokenBucket

TAKEN = "nats"
BROADCAST = "broadcast"


class Host(Protocol):
    """What the regulator asks of the intake."""

    def channel_of(self, subject: str) -> int | None:
        """The channel named like the subject; None if there can be none, and that was counted."""

    def is_wanted(self, channel: int) -> bool:
        """Whether anybody is subscribed."""

    def pass_on(self, channel: int, subject: str, payload: bytes, seq: int, epoch: str) -> bool:
        """Check and publish; False if it was refused, and counted."""

    def drop(self, channel: int, subject: str, limit: str, seq: int, epoch: str) -> None:
        """Tell an event's subscribers that they miss it."""


class Regulator:
    """At least one of the two rates is set.

    Holds one value for each state channel at most. Publishing is O(1), or what passing on costs.
    """

    def __init__(self, host: Host, limits: Limits, clock: Callable[[], float]) -> None:
        self._host = host
        self._clock = clock
        self._buckets = {
            limit: TokenBucket(per_s, max(1.0, per_s))
            for limit, per_s in (
                (TAKEN, limits.publications_per_s),
                (BROADCAST, limits.broadcasts_per_s),
            )
            if per_s is not None
        }
        self._waiting: OrderedDict[str, tuple[bytes, int, str]] = OrderedDict()
        self._event_was_last = False
        self._lacked = TAKEN  # which rate it is that others wait for
        self.conflated: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()

    @property
    def waiting(self) -> int:
        """State values that wait for a rate."""
        return len(self._waiting)

    def state(self, channel: int, subject: str, payload: bytes, seq: int, epoch: str) -> bool:
        """Publish, or let it wait; False if it was refused."""
        if subject in self._waiting:
            self._waiting[subject] = payload, seq, epoch
            self.conflated[self._lacked] += 1
            return True
        if not self._waiting and self._take(channel):
            return self._host.pass_on(channel, subject, payload, seq, epoch)
        self._waiting[subject] = payload, seq, epoch
        return True

    def event(self, channel: int, subject: str, payload: bytes, seq: int, epoch: str) -> bool:
        """Publish, or drop it; False if it was dropped or refused."""
        if self._event_was_last and self._waiting:
            self._release_one()
        if not self._take(channel):
            self.dropped[self._lacked] += 1
            self._host.drop(channel, subject, self._lacked, seq, epoch)
            return False
        self._event_was_last = True
        return self._host.pass_on(channel, subject, payload, seq, epoch)

    def release(self) -> None:
        """Time has passed: publish what waited, as far as the rates allow now."""
        while self._waiting and self._release_one():
            pass

    def _release_one(self) -> bool:
        """Whether the one that waits for longest waits no more."""
        subject = next(iter(self._waiting))
        channel = self._host.channel_of(subject)
        if channel is not None:
            if not self._take(channel):
                return False
            self._event_was_last = False
            self._host.pass_on(channel, subject, *self._waiting[subject])
        del self._waiting[subject]
        return True

    def _take(self, channel: int) -> bool:
        """Whether one more may pass on the channel; if so, it is counted."""
        now_s = self._clock()
        counting = [
            (limit, bucket)
            for limit, bucket in self._buckets.items()
            if limit != BROADCAST or self._host.is_wanted(channel)
        ]
        for limit, bucket in counting:
            if not bucket.has(now_s):
                self._lacked = limit
                return False
        for _, bucket in counting:
            bucket.take(now_s)
        return True
