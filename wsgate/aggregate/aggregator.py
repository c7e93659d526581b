"""The aggregator: what a source brings goes through here, and back to NATS under another name.

Owns the channels, the timer, and when what is outgoing leaves: at once when all that came was read,
so that nothing waits but what a window or a slow server holds back.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from wsgate.aggregate.events import Event, Events
from wsgate.aggregate.outgoing import WRITE_COMMANDS_MAX, Outgoing, Outlet
from wsgate.aggregate.states import State, States
from wsgate.blueprint import AggregationBlueprint
from wsgate.histogram import Histogram
from wsgate.limits import PAYLOAD_BYTES_MAX
from wsgate.protocol import is_channel
from wsgate.rules import Kind
from wsgate.sources.nats_commands import publish_head
from wsgate.throttle import Throttle

log = structlog.get_logger("wsgate.aggregate")

COMPLAINT_INTERVAL_S: Final = 10.0
# What is due leaves in so many parts of a window at most: few timers, few writes, and a value is no
# later for it than by one such part.
PARTS_OF_WINDOW: Final = 20
LAGS_S: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
REFUSALS: Final = ("bad_subject", "no_rule", "too_large", "too_many_channels")


class Aggregator:
    """A :class:`wsgate.sources.Feed` that gives all it gets to an outlet.

    Its source has to say when it is caught up: what came leaves then.

    ``lag`` has one value for each write: how long the publication in it that waited longest did so
    since it came, or, if a window held it back, since the end of that.
    """

    def __init__(
        self,
        blueprint: AggregationBlueprint,
        loop: asyncio.AbstractEventLoop,
        make_outlet: Callable[[Aggregator], Outlet],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._blueprint = blueprint
        self._loop = loop
        self._clock = clock
        self.outgoing = Outgoing(make_outlet(self))
        self._batch = self.outgoing.batch
        self.states = States(self.outgoing, blueprint.window_s, clock)
        self.events = Events(self.outgoing, blueprint.backlog_bytes_max)
        self._channels: dict[str, State | Event] = {}
        """By their raw subject."""
        self._part_s = blueprint.window_s / PARTS_OF_WINDOW
        self._timer: asyncio.TimerHandle | None = None
        self._came_s: float | None = None  # the first publication in the batch
        self._complaints = Throttle(COMPLAINT_INTERVAL_S, clock)
        self.refused: Counter[str] = Counter()
        self.lag = Histogram(LAGS_S)

    @property
    def channels(self) -> int:
        """How many are remembered."""
        return len(self._channels)

    @property
    def held(self) -> int:
        """What came and has not left: for a window, or since NATS takes nothing."""
        return len(self._batch) + self.states.held + self.events.held

    # What the source tells

    def begin_epoch(self, source: str, epoch: str, subjects: Sequence[str], floor: int) -> None:
        """What is republished has no positions: a stream gives it new ones."""

    def lose_up_to(self, epoch: str, seq: int) -> None:
        """The gap that comes with it says the same."""

    def restore(self, subject: str, payload: bytes, seq: int, epoch: str) -> bool:
        """What is over is not published again."""
        return False

    def publish(self, subject: str, payload: bytes, seq: int = 0, epoch: str = "") -> bool:
        """The hot path."""
        channel = self._channels.get(subject) or self._open_channel(subject)
        if channel is None:
            return False
        if len(payload) > PAYLOAD_BYTES_MAX:
            return self._refuse("too_large", subject, size=len(payload))
        if isinstance(channel, State):
            self.states.take(channel, payload)
        elif not self.events.take(channel, payload):
            self._complain_of_drops(subject)
            return False
        if self._batch and self.outgoing.open:
            if self._came_s is None:
                self._came_s = self._clock()
            if len(self._batch) >= WRITE_COMMANDS_MAX:
                self._leave()
        return True

    def caught_up(self) -> None:
        self._leave()

    def control(self, subject: str, payload: bytes) -> None:
        """Nothing is asked for that would come here."""

    def feed_stale(self, source: str) -> None:
        self.outgoing.close()

    def feed_live(self, source: str, missed: Sequence[str]) -> None:
        """Also the first time: nobody knows what was published before this process was there."""
        self.events.miss(self._blueprint.channels)
        self._release()

    def feed_gap(self, source: str, missed: Sequence[str]) -> None:
        self.events.miss(map(self._blueprint.renaming.channel_of, missed))
        self._release()

    # The end

    def finish(self) -> None:
        """Wait for no window any more. Again, until nothing is :attr:`held`."""
        self.states.end_windows(math.inf)
        self._release()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    # When it leaves

    def _leave(self) -> None:
        if not self._batch or not self.outgoing.open:
            return
        still_open = self.outgoing.leave()
        now_s = self._clock()
        self.states.written(now_s)
        if self._came_s is not None:
            self.lag.observe(now_s - self._came_s)
            self._came_s = None
        if not still_open and self._timer is not None:
            self._timer.cancel()  # it may be for later
            self._timer = None
        if self._timer is None:
            self._arm(now_s)

    def _release(self) -> None:
        """All that waits for nothing but the outlet, as much of it as that takes."""
        self.outgoing.look()
        while self.outgoing.open:
            due_since_s = self.states.due_since_s
            self.states.release(WRITE_COMMANDS_MAX)
            self.events.release(WRITE_COMMANDS_MAX)
            if not self._batch:
                break
            self._leave()
            if due_since_s is not None:
                self.lag.observe(max(0.0, self._clock() - due_since_s))
        if self._timer is None:
            self._arm(self._clock())

    def _woken(self) -> None:
        self._timer = None
        self.states.end_windows(self._clock())
        self._release()

    def _arm(self, now_s: float) -> None:
        """Be woken for the next window that ends, or to look whether the server takes more."""
        if not self.outgoing.open and self.outgoing.outlet.connected:
            delay_s = self._part_s
        elif self.states.next_end_s is not None:
            delay_s = max(self._part_s, self.states.next_end_s - now_s)
        else:
            return
        # Loops have whole milliseconds, and must not come too early.
        self._timer = self._loop.call_later(delay_s + 0.001, self._woken)

    # Channels

    def _open_channel(self, subject: str) -> State | Event | None:
        try:
            name = self._blueprint.renaming.channel_of(subject)
        except ValueError:
            name = ""
        if not is_channel(name):
            self._refuse("bad_subject", subject)
            return None
        rule = self._blueprint.rules.match(name)
        if rule is None:
            self._refuse("no_rule", subject)
            return None
        if len(self._channels) >= self._blueprint.channels_max and not self._forget_idle():
            self._refuse("too_many_channels", subject)
            return None
        head = publish_head(name)
        channel = State(head) if rule.kind is Kind.STATE else Event(head, rule.subject)
        self._channels[subject] = channel
        return channel

    def _forget_idle(self) -> bool:
        """All whose next publication would leave at once anyhow; whether there were any.

        All together, so that it costs little for each, however many new ones there are.
        """
        before = len(self._channels)
        self._channels = {
            subject: channel
            for subject, channel in self._channels.items()
            if isinstance(channel, State) and channel.busy
        }
        return len(self._channels) < before

    def _refuse(self, reason: str, subject: str, **details: object) -> bool:
        self.refused[reason] += 1
        if self._complaints.admit(reason) is not None:
            total = self.refused[reason]
            log.warning(
                "publication refused", reason=reason, subject=subject[:256], total=total, **details
            )
        return False

    def _complain_of_drops(self, subject: str) -> None:
        if self._complaints.admit("dropped") is not None:
            log.warning(
                "event dropped: NATS takes less than comes",
                setting="WS_AGGREGATE_MAX_BACKLOG_BYTES",
                subject=subject[:256],
                total=self.events.dropped,
            )
