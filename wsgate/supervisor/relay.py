"""Publications from the supervisor to all workers, in order, with the state of their sources.

A worker that starts is told what is so now, and gets the last value of each channel of state. One
that does not read as fast as it is told is owed the latest state, and told of a gap in the events:
what waits for it is bounded, as it is for a slow client.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol

import structlog

from wsgate.channel import ChannelClosed
from wsgate.rules import Kind, Rule, Rules
from wsgate.supervisor.last_values import LastValues
from wsgate.throttle import Throttle

log = structlog.get_logger("wsgate.supervisor")

CHUNK_BYTES: Final = 64 * 1024  # told at once: a worker does nothing else while it takes one
BACKLOG_BYTES_MAX: Final = 4 * 1024 * 1024  # told and not read; then no more until it has read

COMPLAINT_INTERVAL_S: Final = 30.0


class Publication(NamedTuple):
    channel: str
    text: str
    is_state: bool


class Listener(Protocol):
    """A worker, as far as it is told things here."""

    @property
    def number(self) -> int: ...
    @property
    def backlog_bytes(self) -> int:
        """What it was told and has not read."""

    async def has_read(self) -> None:
        """Return when that is little. Raises ChannelClosed if it is gone."""

    def tell(self, what: str, argument: Any = None) -> None: ...


class Relay:
    """A ``wsgate.sources.Feed`` for sources of the supervisor. ``rules`` are those in force now."""

    def __init__(self, rules: Callable[[], Rules], last_values: LastValues | None = None) -> None:
        self._rules = rules
        self.last_values = LastValues() if last_values is None else last_values
        self._batch: list[Publication] = []
        self._feeds: dict[str, bool] = {}  # by source, whether it is live
        self._lanes: dict[Listener, _Lane] = {}
        self._complaints = Throttle(COMPLAINT_INTERVAL_S)
        self.lags = 0
        """Times a worker had to be owed, since it did not read."""

    # Workers

    @property
    def live_sources(self) -> tuple[str, ...]:
        return tuple(source for source, live in self._feeds.items() if live)

    def join(self, worker: Listener) -> None:
        """From now on this one is told too, and first what it would know already."""
        lane = self._lanes[worker] = _Lane(worker, self)
        for source, live in self._feeds.items():
            worker.tell("feed", [source, "live" if live else "stale", []])
        lane.owe(self.last_values)

    def part(self, worker: Listener) -> None:
        """It is gone."""
        lane = self._lanes.pop(worker, None)
        if lane is not None:
            lane.stop()

    def stop(self) -> None:
        """Nobody is told any more."""
        for worker in list(self._lanes):
            self.part(worker)

    def rule_of(self, channel: str) -> Rule | None:
        """None if there is none now: workers refuse what is published there, and count that."""
        return self._rules().match(channel)

    def lagged(self, worker: Listener) -> None:
        """This one does not read, and is owed what it would have been told."""
        self.lags += 1
        held_back = self._complaints.admit(worker.number)
        if held_back is not None:
            log.warning(
                "a worker does not read what is published; it gets the latest when it does",
                worker=worker.number,
                held_back=held_back,
            )

    # Sources

    def publish(self, subject: str, payload: bytes, seq: int = 0, epoch: str = "") -> bool:
        """Gathered until ``caught_up``. The payload is JSON."""
        text = payload.decode()
        rule = self.rule_of(subject)
        is_state = rule is not None and rule.kind is Kind.STATE
        if is_state:
            self.last_values.put(subject, text)
        self._batch.append(Publication(subject, text, is_state))
        return True

    def caught_up(self) -> None:
        batch, self._batch = self._batch, []
        for chunk in _chunks(batch):
            for lane in self._lanes.values():
                lane.send(chunk)

    def feed_live(self, source: str, missed: Sequence[str]) -> None:
        self._feeds[source] = True
        self._tell_all(source, "live", missed)

    def feed_stale(self, source: str) -> None:
        self._feeds[source] = False
        self._tell_all(source, "stale", ())

    def feed_gap(self, source: str, missed: Sequence[str]) -> None:
        self._tell_all(source, "gap", missed)

    def begin_epoch(self, source: str, epoch: str, subjects: Sequence[str], floor: int) -> None:
        raise NotImplementedError("no source of the supervisor has positions")

    def lose_up_to(self, epoch: str, seq: int) -> None:
        raise NotImplementedError("no source of the supervisor has positions")

    def restore(self, subject: str, payload: bytes, seq: int, epoch: str) -> bool:
        raise NotImplementedError("no source of the supervisor has positions")

    def control(self, subject: str, payload: bytes) -> None:
        raise NotImplementedError("no source of the supervisor has control messages")

    def _tell_all(self, source: str, news: str, missed: Sequence[str]) -> None:
        self.caught_up()  # what came before stays before
        for worker in self._lanes:
            worker.tell("feed", [source, news, list(missed)])


class _Lane:
    """The way to one worker."""

    def __init__(self, worker: Listener, relay: Relay) -> None:
        self._worker = worker
        self._relay = relay
        # Channels of state, to be told what their value is then.
        self._owed: OrderedDict[str, None] = OrderedDict()
        self._missed: set[str] = set()  # subjects of the rules of events that were left out
        self._catching_up: asyncio.Task[None] | None = None

    def send(self, chunk: list[Publication]) -> None:
        if self._worker.backlog_bytes > BACKLOG_BYTES_MAX:
            self._lag(chunk)
            return
        self._tell_of_gap()
        for one in chunk:
            self._owed.pop(one.channel, None)
        self._worker.tell("publish", [[one.channel, one.text] for one in chunk])

    def owe(self, channels: Iterable[str]) -> None:
        self._owed.update(dict.fromkeys(channels))
        if self._catching_up is None and (self._owed or self._missed):
            self._catching_up = asyncio.create_task(self._catch_up(), name="relay-catch-up")

    def stop(self) -> None:
        if self._catching_up is not None:
            self._catching_up.cancel()

    def _lag(self, chunk: list[Publication]) -> None:
        if not self._missed and not self._owed:
            self._relay.lagged(self._worker)
        for one in chunk:
            if not one.is_state:
                self._miss(one.channel)
        self.owe(one.channel for one in chunk if one.is_state)

    async def _catch_up(self) -> None:
        try:
            while self._owed or self._missed:
                await self._worker.has_read()
                self._tell_of_gap()
                chunk = self._next_owed()
                if chunk:
                    self._worker.tell("publish", chunk)
        except ChannelClosed:
            pass
        finally:
            self._catching_up = None

    def _miss(self, channel: str) -> None:
        rule = self._relay.rule_of(channel)
        if rule is not None:
            self._missed.add(rule.subject)

    def _tell_of_gap(self) -> None:
        if self._missed:
            missed, self._missed = sorted(self._missed), set()
            self._worker.tell("feed", ["relay", "gap", missed])

    def _next_owed(self) -> list[list[str]]:
        """Channels owed, with their last values, and owed no more."""
        chunk, size = [], 0
        while self._owed and size < CHUNK_BYTES:
            channel, _ = self._owed.popitem(last=False)
            text = self._relay.last_values.get(channel)
            if text is None:  # forgotten meanwhile, for want of memory
                self._miss(channel)
                continue
            chunk.append([channel, text])
            size += len(channel) + len(text)
        return chunk


def _chunks(batch: list[Publication]) -> Iterable[list[Publication]]:
    chunk: list[Publication] = []
    size = 0
    for one in batch:
        chunk.append(one)
        size += len(one.channel) + len(one.text)
        if size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
