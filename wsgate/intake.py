"""Intake: what sources tell the hub. Publications, the state of feeds, control messages.

Owns the core, and when it flushes. The other half of the hub, with the connections, is ``hub``.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Collection, Sequence

import orjson
import structlog

from wsgate import protocol
from wsgate.control import (
    GAP_SUBJECT,
    REVOKE_SUBJECT,
    BadControl,
    missed_channels,
    revoked_subjects,
)
from wsgate.core.fanout import Fanout
from wsgate.core.frame import Frame
from wsgate.core.recovery import OWN_EPOCH
from wsgate.core.roster import TooManyChannels
from wsgate.core.sink import Sink
from wsgate.deflate import compress
from wsgate.delta import squeeze
from wsgate.epochs import Epochs
from wsgate.flush import Flushing, now_ms
from wsgate.histogram import Histogram
from wsgate.limits import Limits
from wsgate.regulator import Regulator
from wsgate.rules import Rule, Rules
from wsgate.throttle import Throttle
from wsgate.window import AdaptiveWindow

log = structlog.get_logger("wsgate.hub")

COMPLAINT_INTERVAL_S = 10.0


class Intake:
    """A ``wsgate.sources.Feed``. ``sink`` is where the core's bytes go."""

    def __init__(
        self, sink: Sink, rules: Rules, limits: Limits, *, flush_window_s: float | None
    ) -> None:
        """``flush_window_s`` of None: it adapts."""
        self._loop = asyncio.get_running_loop()
        self._rules = rules
        self._limits = limits
        self.core = Fanout(
            sink,
            [(rule.type, rule.kind.value, rule.overflow.value) for rule in rules],
            self._gap_message,
            channels_max=limits.channels_max,
            events_bytes_max=limits.events_bytes_max,
            events_count_max=limits.events_count_max,
            control_bytes_max=limits.control_bytes_max,
            compress=compress,
            deflate_bytes_min=limits.deflate_bytes_min,
            squeeze=squeeze,
            history=[_kept(rule) for rule in rules],
            epoch=_epoch_name(),
            now_ms=now_ms(),
        )
        self._epochs = Epochs(self.core)
        self._flushing = Flushing(self._loop, self.core, flush_window_s or 0.0, self._after_flush)
        self._adaptive: AdaptiveWindow | None = None
        if flush_window_s is None:
            self._adaptive = AdaptiveWindow(self._loop.time(), time.process_time())
        self._feeds_stale: set[str] = set()
        self._feeds_begun: set[str] = set()  # those that were live once
        self.regulator: Regulator | None = None
        if limits.publications_per_s is not None or limits.broadcasts_per_s is not None:
            self.regulator = Regulator(self, limits, self._loop.time)
        self._complaints = Throttle(COMPLAINT_INTERVAL_S)
        self.refused: Counter[str] = Counter()
        self.controls_refused = 0

    @property
    def rules(self) -> Rules:
        return self._rules

    @property
    def window_s(self) -> float:
        """How long publications wait for others to share a write."""
        return self._flushing.window_s

    def adapt_window(self) -> None:
        """Look whether another window would do better; cheap."""
        if self._adaptive is not None:
            self._adaptive.look(self._loop.time(), time.process_time())
            self._flushing.window_s = self._adaptive.window_s

    @property
    def latency(self) -> Histogram:
        """From the receipt of publications to their last write, in seconds, flush by flush."""
        return self._flushing.latency

    @property
    def slices(self) -> Histogram:
        """How long a flush kept the loop, in seconds, each time that it did."""
        return self._flushing.slices

    def _after_flush(self) -> None:
        """Deal with the connections that the core gave up."""
        raise NotImplementedError

    def revoke(self, subjects: Collection[str]) -> int:
        """Cut off every connection of these; how many."""
        raise NotImplementedError

    def publish(self, subject: str, payload: bytes, seq: int = 0, epoch: str = "") -> bool:
        """Publish JSON on the channel named like the subject; False if refused, and counted."""
        channel = self._channel_for(subject, payload)
        if channel is None:
            return False
        if self.regulator is None:
            return self.pass_on(channel, subject, payload, seq, epoch)
        if self.core.is_event(channel):
            return self.regulator.event(channel, subject, payload, seq, epoch)
        return self.regulator.state(channel, subject, payload, seq, epoch)

    def channel_of(self, subject: str) -> int | None:
        """The channel named like the subject; None if there can be none, and that is counted."""
        channel = self.core.find_channel(subject)
        return self._open_channel(subject) if channel is None else channel

    def pass_on(self, channel: int, subject: str, payload: bytes, seq: int, epoch: str) -> bool:
        if not self._is_json(subject, payload):
            return False
        if self.core.publish(channel, payload, seq, self._epochs.id(epoch) if seq else OWN_EPOCH):
            self._flushing.publication_came()
        return True

    def begin_epoch(self, source: str, epoch: str, subjects: Sequence[str], floor: int) -> None:
        self._epochs.begin(source, epoch, subjects, floor)
        self._flushing.publications_wait()

    def lose_up_to(self, epoch: str, seq: int) -> None:
        self.core.lose_up_to(self._epochs.id(epoch), seq)

    def restore(self, subject: str, payload: bytes, seq: int, epoch: str) -> bool:
        channel = self._channel_for(subject, payload)
        if channel is None or not self._is_json(subject, payload):
            return False
        if self.core.restore(channel, payload, seq, self._epochs.id(epoch)):
            self._flushing.publication_came()
        return True

    def _channel_for(self, subject: str, payload: bytes) -> int | None:
        """The subject's channel, if it takes so large a payload; else None, and that is counted."""
        channel = self.channel_of(subject)
        if channel is not None and len(payload) > self._limits.payload_bytes_max:
            self._refuse("too_large", subject, size=len(payload))
            return None
        return channel

    def _is_json(self, subject: str, payload: bytes) -> bool:
        try:
            orjson.loads(payload)
        except orjson.JSONDecodeError as error:
            return self._refuse("not_json", subject, error=str(error))
        return True

    def is_wanted(self, channel: int) -> bool:
        return self.core.is_wanted(channel)

    def drop(self, channel: int, subject: str, limit: str, seq: int, epoch: str) -> None:
        assert self.regulator is not None, "there is no limit"
        # The next event, or the heartbeat, takes the gap along.
        self.core.lose(channel, seq, self._epochs.id(epoch) if seq else OWN_EPOCH)
        if self._complaints.admit(limit) is not None:
            log.warning(
                "event dropped",
                setting=f"WS_MAX_{limit.upper()}_RATE",
                subject=subject[:256],
                total=self.regulator.dropped[limit],
            )

    def caught_up(self) -> None:
        """Nothing more comes for the moment: what waits for the end of the tick leaves now."""
        self._flushing.flush_now()

    def _open_channel(self, subject: str) -> int | None:
        if not protocol.is_channel(subject):
            self._refuse("bad_subject", subject)
            return None
        rule = self._rules.index(subject)
        if rule is None:
            self._refuse("no_rule", subject)
            return None
        try:
            return self.core.open_channel(subject, rule, self._epochs.of(subject))
        except TooManyChannels:
            self._refuse("too_many_channels", subject)
            return None

    def _refuse(self, reason: str, subject: str, **details: object) -> bool:
        self.refused[reason] += 1
        if self._complaints.admit(reason) is not None:
            total = self.refused[reason]
            log.warning(
                "publication refused", reason=reason, subject=subject[:256], total=total, **details
            )
        return False

    def control(self, subject: str, payload: bytes) -> None:
        """Carry out what a backend tells the gateway itself; counted if that is nonsense."""
        try:
            if subject == GAP_SUBJECT:
                self.feed_gap("control", missed_channels(payload))
                return
            if subject != REVOKE_SUBJECT:
                raise BadControl("there is no such control subject")
            subjects = revoked_subjects(payload)
        except BadControl as error:
            if subject != GAP_SUBJECT:
                self.controls_refused += 1
            if self._complaints.admit("control") is not None:
                log.warning(
                    "control message refused",
                    subject=subject[:256],
                    error=str(error),
                    total=self.controls_refused,
                )
            return
        ended = self.revoke(subjects)
        log.info("subjects revoked", subjects=len(subjects), connections_ended=ended)

    # -------------------------------------------------------------------------------- feed states

    def feed_stale(self, source: str) -> None:
        """A source lost its origin: what clients see may be old from now on."""
        if not self._feeds_stale:
            self._tell_all(protocol.encode_feed("stale"))
        self._feeds_stale.add(source)

    def feed_live(self, source: str, missed: Sequence[str]) -> None:
        """A source receives everything again; ``missed``: subjects that may have holes."""
        was_stale = source in self._feeds_stale
        was_filling = self.filling
        if not missed and source not in self._feeds_begun:
            missed = [rule.subject for rule in self._rules]  # for who came before it
        self._feeds_stale.discard(source)
        self._feeds_begun.add(source)
        if was_filling and not self.filling:
            self._filled()
        if was_stale and not self._feeds_stale:
            self._tell_all(protocol.encode_feed("live"))
        if missed:
            self.feed_gap(source, missed)

    def feed_gap(self, source: str, missed: Sequence[str]) -> None:
        """Publications on these subjects may be missing: every subscriber is told, in its place.

        What the gateway counts by itself has had all of it no more: it counts in another epoch.
        """
        self.core.renew_own_epoch(_epoch_name())
        frame = Frame.text(protocol.encode_gap(list(missed)))
        self.core.delivery.announce_gap(frame, (1 << len(self._rules)) - 1, self.core.index)
        self._flushing.publications_wait()

    @property
    def filling(self) -> bool:
        """Whether a source has yet to tell where its channels stand."""
        return not self._feeds_stale <= self._feeds_begun

    def _filled(self) -> None:
        """Every source has told that now."""
        raise NotImplementedError

    def _tell_all(self, message: bytes) -> None:
        self.core.delivery.tell_all(Frame.feed(message))
        self._after_flush()
        self._flushing.replies_wait()

    def _gap_message(self, mask: int) -> bytes:
        """The gap that names every rule whose bit is set."""
        return protocol.encode_gap(
            [rule.subject for place, rule in enumerate(self._rules) if mask >> place & 1]
        )


def _epoch_name() -> str:
    """As no other worker calls its counting, nor this one before."""
    return secrets.token_hex(4)


def _kept(rule: Rule) -> tuple[int, int, int]:
    """What is kept of the events of the rule's channels, as the core wants it."""
    return rule.history_events, rule.history_bytes, int(rule.history_age_s * 1000)
