"""The core once more, as plain as it can be said: dicts, sets and lists; slow, and easy to believe.

It knows nothing of slots, rings, bitmaps and shared frames. What it cannot know it is told: which
connections a flush has visited so far (the order of visits is checked apart), which unused channel
was forgotten (it checks that this was a right choice).

A connection's ``got`` is all that has left its outbox, frame by frame.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.core.rfc6455 import CLOSE, PING, PONG, TEXT, encode
from tests.core.rig import LIMITS, RULE_OF, STATE, STRICT, envelope, gap_message

RATES_MAX = 8
# The counters that are kept here too.
TOTALS = [
    "publications", "publications_unwanted", "frames_encoded", "deliveries", "replies",
    "blocked", "gaps", "purged", "channels_evicted",
    "conflated_gathered", "conflated_owed", "conflated_held", "dropped_gap", "dropped_close",
]  # fmt: skip

TICK_MS = 16  # the wheel's
SPREAD_A_VISIT = 128  # how spreading is weighed against visits when a flush goes in slices
SPREAD_LEAST = 4


class TooManyChannels(Exception):
    pass


class TooManyRates(Exception):
    pass


def matches(pattern: str, channel: str) -> bool:
    """NATS subjects: ``*`` is one token, a last ``>`` one or more."""
    tokens, names = pattern.split("."), channel.split(".")
    if tokens[-1] == ">":
        tokens = tokens[:-1]
        if len(names) <= len(tokens):
            return False
        names = names[: len(tokens)]
    return len(tokens) == len(names) and all(
        token in ("*", name) for token, name in zip(tokens, names, strict=True)
    )


def is_pattern(name: str) -> bool:
    return "*" in name or ">" in name


def priority(subscription: str) -> list[int]:
    """Orders the subscriptions that match a channel: the one to the channel itself is first."""
    if not is_pattern(subscription):
        return []
    return [{">": 0, "*": 1}.get(token, 2) for token in subscription.split(".")]


@dataclass
class Channel:
    name: str
    seq: int = 0
    prev: int = 0
    published: bool = False
    value: bytes = b""
    encoded: bool = False  # state: the latest value is a frame already
    pending: bool = False  # state: published, not yet spread
    unused_since: int = 0

    @property
    def rule(self) -> int:
        return RULE_OF[self.name.split(".")[0]]

    @property
    def is_state(self) -> bool:
        return self.rule == STATE

    def frame(self) -> bytes:
        return encode(TEXT, envelope(self.name, self.seq, self.prev, self.value))


@dataclass
class Queued:
    frame: bytes
    channel: str | None = None  # of a publication
    role: str = "plain"


@dataclass
class Clock:
    interval_ms: int
    subscriptions: int = 0
    next_ms: int = 0
    instant: int = 0
    held: dict[str, None] = field(default_factory=dict)


@dataclass
class Connection:
    handle: int
    subscriptions: dict[str, int] = field(default_factory=dict)  # name -> interval, 0: no rate
    clocks: list[Clock | None] = field(default_factory=lambda: [None] * RATES_MAX)
    strikes: int | None = None  # the wheel's tick at which the clocks are looked at
    control: list[Queued] = field(default_factory=list)
    close: bytes | None = None
    events: list[Queued] = field(default_factory=list)
    gapped: int = 0
    owed: dict[str, None] = field(default_factory=dict)
    blocked: bool = False
    paused: bool = False
    closing: bool = False
    doomed: bool = False
    urgent: bool = False
    got: list[bytes] = field(default_factory=list)
    # its socket
    room: int | None = None
    carry: str = "holds"
    broken: bool = False
    torn: bool = False  # the stream ends inside a frame

    @property
    def owes(self) -> bool:
        return bool(self.control or self.close or self.events or self.gapped or self.owed)

    @property
    def writable(self) -> bool:
        work = bool(self.control or self.close) if self.paused else self.owes
        return work and not self.blocked and not self.doomed

    @property
    def deaf(self) -> bool:
        """Takes nothing more."""
        return self.closing or self.doomed

    @property
    def events_bytes(self) -> int:
        return sum(len(event.frame) for event in self.events)

    @property
    def control_bytes(self) -> int:
        return sum(len(reply.frame) for reply in self.control)

    def matching(self, channel: str) -> list[str]:
        return [name for name in self.subscriptions if matches(name, channel)]

    def clock(self, interval_ms: int) -> Clock | None:
        for clock in self.clocks:
            if clock is not None and clock.interval_ms == interval_ms:
                return clock
        return None

    def running(self) -> Iterator[Clock]:
        return (clock for clock in self.clocks if clock is not None)

    def release_idle_clocks(self) -> None:
        for place, clock in enumerate(self.clocks):
            if clock is not None and not clock.subscriptions and not clock.held:
                self.clocks[place] = None


class Model:
    def __init__(self, limits: dict[str, int], id_of: Callable[[str], int | None]) -> None:
        self.limits = LIMITS | limits
        self.id_of = id_of  # values that a pattern brings are owed in the order of their ids
        self.connections: dict[int, Connection] = {}
        self.channels: dict[str, Channel] = {}
        self.pending: list[str] = []
        self.doomed: list[tuple[int, str]] = []
        self.timers: dict[tuple[int, int], int] = {}
        self.totals: Counter[str] = Counter()
        self.publications: Counter[int] = Counter()  # by rule
        self.deliveries: Counter[int] = Counter()
        self.seq_floor = 0
        self.now_ms = 0
        self.wheel_tick = 0
        self.instant = 1
        self.step = 1

    # connections

    def open(self, handle: int) -> None:
        self.connections[handle] = Connection(handle)

    def release(self, handle: int) -> None:
        del self.connections[handle]
        self.timers = {key: due for key, due in self.timers.items() if key[0] != handle}

    def schedule(self, handle: int, timer: int, due_ms: int) -> None:
        self.timers[handle, timer] = self._bucket(due_ms)

    def _bucket(self, due_ms: int) -> int:
        return max(-(-due_ms // TICK_MS), self.wheel_tick + 1)

    # channels

    def in_use(self, name: str) -> bool:
        return name in self.pending or any(
            name in connection.subscriptions
            or name in connection.owed
            or any(name in clock.held for clock in connection.running())
            for connection in self.connections.values()
        )

    def forget(self, name: str) -> None:
        """The core forgot this channel: it was one of those unused for longest."""
        channel = self.channels[name]
        unused = [other for other in self.channels.values() if not self.in_use(other.name)]
        assert channel in unused, f"{name} was in use"
        assert channel.unused_since == min(other.unused_since for other in unused)
        self.seq_floor = max(self.seq_floor, channel.seq)
        self.totals["channels_evicted"] += 1
        del self.channels[name]

    def open_channel(self, name: str) -> None:
        if name in self.channels:
            return
        if len(self.channels) >= self.limits["channels_max"]:
            assert all(self.in_use(other) for other in self.channels), "one could be forgotten"
            raise TooManyChannels
        self.channels[name] = Channel(name, seq=self.seq_floor, unused_since=self.step)

    def note_uses(self) -> None:
        """After every operation: since when is each channel unused?"""
        for channel in self.channels.values():
            if self.in_use(channel.name):
                channel.unused_since = 0
            elif not channel.unused_since:
                channel.unused_since = self.step
        self.step += 1

    # subscriptions

    def subscribe(self, handle: int, name: str, interval_ms: int) -> int:
        connection = self.connections[handle]
        self.open_channel(name)
        channel = self.channels[name]
        if channel.pending:
            self._spread(channel)
        self._join(connection, name, interval_ms)
        if channel.published and channel.is_state:
            self._owe(connection, name)
        return channel.seq

    def subscribe_pattern(self, handle: int, pattern: str, interval_ms: int) -> None:
        connection = self.connections[handle]
        values = [
            channel
            for channel in self.channels.values()
            if channel.is_state and channel.published and matches(pattern, channel.name)
        ]
        values.sort(key=lambda channel: self.id_of(channel.name) or 0)
        for channel in values:
            if channel.pending:
                self._spread(channel)
        self._join(connection, pattern, interval_ms)
        for channel in values:
            self._give_up_held(connection, channel.name)
        for channel in values:
            self._owe(connection, channel.name)

    def _join(self, connection: Connection, name: str, interval_ms: int) -> None:
        if interval_ms:
            clock = connection.clock(interval_ms)
            if clock is None:
                if None not in connection.clocks:
                    raise TooManyRates
                clock = Clock(interval_ms)
                connection.clocks[connection.clocks.index(None)] = clock
            clock.subscriptions += 1
        self._leave(connection, name)
        connection.subscriptions[name] = interval_ms

    def _leave(self, connection: Connection, name: str) -> None:
        clock = connection.clock(connection.subscriptions.pop(name, 0))
        if clock is not None:
            clock.subscriptions -= 1
        connection.release_idle_clocks()

    def unsubscribe(self, handle: int, name: str) -> bool:
        connection = self.connections[handle]
        if name not in connection.subscriptions:
            return False
        self._leave(connection, name)
        events = [
            event
            for event in connection.events
            if event.channel is None or connection.matching(event.channel)
        ]
        owed = {channel: None for channel in connection.owed if connection.matching(channel)}
        self.totals["purged"] += len(connection.events) - len(events)
        self.totals["purged"] += len(connection.owed) - len(owed)
        connection.events, connection.owed = events, owed
        for clock in connection.running():
            clock.held = {channel: None for channel in clock.held if connection.matching(channel)}
        connection.release_idle_clocks()
        return True

    # publications

    def publish(self, name: str, payload: bytes) -> bool:
        channel = self.channels[name]
        self.totals["publications"] += 1
        self.publications[channel.rule] += 1
        channel.prev = channel.seq if channel.published else 0
        channel.seq += 1
        channel.published = True
        if channel.unused_since:
            channel.unused_since = self.step
        channel.value, channel.encoded = payload, False
        wanted = sum(len(each.matching(name)) for each in self.connections.values())
        if not wanted:
            self.totals["publications_unwanted"] += 1
        elif not channel.is_state:
            self.totals["frames_encoded"] += 1
            for connection in self.connections.values():
                if connection.matching(name) and not connection.deaf:
                    self._put(connection, channel)
        elif channel.pending:
            self.totals["conflated_gathered"] += wanted
        else:
            channel.pending = True
            self.pending.append(name)
        return wanted > 0

    def _put(self, connection: Connection, channel: Channel) -> None:
        frame = channel.frame()
        if not connection.gapped and self._has_room(connection, frame):
            connection.events.append(Queued(frame, channel.name))
            return
        if channel.rule == STRICT:
            self.totals["dropped_close"] += 1
            self._doom(connection, "slow_consumer")
        else:
            self.totals["dropped_gap"] += 1
            connection.gapped |= 1 << channel.rule

    def _has_room(self, connection: Connection, frame: bytes) -> bool:
        return (
            len(connection.events) < self.limits["events_count_max"]
            and connection.events_bytes + len(frame) <= self.limits["events_bytes_max"]
        )

    def _owe(self, connection: Connection, name: str) -> None:
        if connection.deaf:
            return
        if name in connection.owed:
            self.totals["conflated_owed"] += 1
        connection.owed[name] = None
        self._give_up_held(connection, name)

    def _give_up_held(self, connection: Connection, name: str) -> None:
        for clock in connection.running():
            clock.held.pop(name, None)
        connection.release_idle_clocks()

    def _spread(self, channel: Channel) -> None:
        channel.pending = False
        for connection in self.connections.values():
            matching = sorted(connection.matching(channel.name), key=priority)
            if not matching or connection.deaf:
                continue
            intervals = [connection.subscriptions[name] for name in matching]
            if 0 in intervals or channel.name in connection.owed:
                if channel.name in connection.owed:
                    self.totals["conflated_owed"] += 1
                connection.owed[channel.name] = None
            else:
                self._offer(connection, channel.name, intervals[0])

    def _offer(self, connection: Connection, name: str, interval_ms: int) -> None:
        clock = connection.clock(interval_ms)
        assert clock is not None
        if not clock.held and self.now_ms >= clock.next_ms:
            clock.next_ms = self.now_ms + interval_ms
            clock.instant = self.instant
            self._owe(connection, name)
        elif not clock.held and clock.instant == self.instant:
            self._owe(connection, name)
        elif name in clock.held:
            self.totals["conflated_held"] += 1
        else:
            clock.held[name] = None
            self._wind(connection)

    def _wind(self, connection: Connection) -> None:
        waiting = [clock.next_ms for clock in connection.running() if clock.held]
        if waiting:
            connection.strikes = self._bucket(min(waiting))

    # replies and endings

    def reply(self, handle: int, role: str, payload: bytes) -> None:
        connection = self.connections[handle]
        self._push_control(connection, role, payload)
        connection.urgent = connection.writable

    def tell_all(self, payload: bytes) -> None:
        for connection in self.connections.values():
            self._push_control(connection, "feed", payload)
            connection.urgent = connection.writable

    def _push_control(self, connection: Connection, role: str, payload: bytes) -> None:
        if connection.deaf:
            return
        frame = encode({"pong": PONG, "ping": PING}.get(role, TEXT), payload)
        room = connection.control_bytes + len(frame) <= self.limits["control_bytes_max"]
        alike = [queued for queued in connection.control if queued.role == role]
        if role in ("pong", "feed") and len(alike) >= (16 if role == "pong" and room else 1):
            alike[-1].frame = frame
            return
        if not room:
            self._doom(connection, "slow_consumer")
            return
        connection.control.append(Queued(frame, role=role))

    def announce_gap(self, payload: bytes, mask: int) -> None:
        frame = encode(TEXT, payload)
        for connection in self.connections.values():
            if connection.deaf:
                continue
            if connection.gapped or not self._has_room(connection, frame):
                connection.gapped |= mask
            else:
                connection.events.append(Queued(frame))
                self.totals["gaps"] += 1

    def end(self, handle: int, payload: bytes, flush_owed: bool) -> None:
        connection = self.connections[handle]
        if connection.deaf:
            return
        if not flush_owed:
            self._give_up_all(connection)
        connection.close = encode(CLOSE, payload)
        connection.closing = True
        connection.paused = False
        connection.urgent = connection.writable

    def pardon(self, handle: int) -> None:
        connection = self.connections[handle]
        self._give_up_all(connection)
        connection.doomed = False

    def _give_up_all(self, connection: Connection) -> None:
        connection.control.clear()
        connection.events.clear()
        connection.owed.clear()
        connection.gapped = 0

    def _doom(self, connection: Connection, reason: str) -> None:
        if not connection.doomed:
            connection.doomed = True
            self.doomed.append((connection.handle, reason))
        connection.urgent = False

    def take_doomed(self) -> list[tuple[int, str]]:
        doomed, self.doomed = self.doomed, []
        return doomed

    # the socket

    def accept(self, handle: int, size: int, carry: str) -> None:
        connection = self.connections[handle]
        connection.room, connection.carry = size, carry

    def cut_off(self, handle: int) -> None:
        self.connections[handle].broken = True

    def block(self, handle: int) -> None:
        connection = self.connections[handle]
        connection.blocked = True
        connection.urgent = False

    def resume(self, handle: int) -> None:
        connection = self.connections[handle]
        connection.blocked = False
        connection.room = None
        if connection.writable and (connection.control or connection.close):
            connection.urgent = True

    def pause(self, handle: int) -> None:
        connection = self.connections[handle]
        connection.paused = not connection.closing
        connection.urgent = connection.urgent and connection.writable

    def unpause(self, handle: int) -> None:
        self.connections[handle].paused = False

    # flushes

    def begin_slice(self, now_ms: int, visits: int) -> None:
        """Spread what was published, as far as this slice gets."""
        self.now_ms = now_ms
        left = visits * SPREAD_A_VISIT
        while self.pending and left > 0:
            channel = self.channels[self.pending.pop(0)]
            left -= SPREAD_LEAST + sum(
                len(each.matching(channel.name)) for each in self.connections.values()
            )
            if channel.pending:
                self._spread(channel)
        self.instant += 1

    def visit(self, handle: int) -> None:
        """One visit: everything owed, as far as the socket takes it."""
        connection = self.connections[handle]
        assert connection.writable, "nothing should be written"
        connection.urgent = False
        if connection.gapped and not connection.paused:
            frame = encode(TEXT, gap_message(connection.gapped))
            connection.events.append(Queued(frame))
            connection.gapped = 0
            self.totals["gaps"] += 1
        for name in () if connection.paused else connection.owed:
            channel = self.channels[name]
            self.totals["frames_encoded"] += not channel.encoded
            channel.encoded = True
        if connection.broken:
            self._doom(connection, "broken")
        while connection.writable:
            self._write(connection)

    def _write(self, connection: Connection) -> None:
        is_reply, published, is_close = bool(connection.control), None, False
        if connection.control:
            frame = connection.control.pop(0).frame
        elif connection.events:
            event = connection.events.pop(0)
            frame, published = event.frame, event.channel
        elif connection.owed:
            name = next(iter(connection.owed))
            del connection.owed[name]
            frame, published = self.channels[name].frame(), name
        else:
            assert connection.close is not None
            frame, connection.close, is_close = connection.close, None, True
        if not self._send(connection, frame):
            return
        self.totals["replies"] += is_reply
        if published is not None:
            self.totals["deliveries"] += 1
            self.deliveries[RULE_OF[published.split(".")[0]]] += 1
        if is_close:
            self._doom(connection, "closed")

    def _send(self, connection: Connection, frame: bytes) -> bool:
        """Whether the frame is out, or its rest with the transport."""
        if connection.room is not None and connection.room < len(frame):
            self.totals["blocked"] += 1
            if connection.carry == "breaks":
                connection.got.append(frame[: connection.room])
                connection.torn = True
                self._doom(connection, "broken")
                return False
            connection.blocked = connection.carry == "holds"
            connection.room = 0 if connection.blocked else None
        elif connection.room is not None:
            connection.room -= len(frame)
        connection.got.append(frame)
        return True

    # time

    def tick(self, now_ms: int) -> set[tuple[int, int]]:
        self.now_ms = now_ms
        tick = now_ms // TICK_MS
        for connection in self.connections.values():
            if connection.strikes is not None and connection.strikes <= tick:
                connection.strikes = None
                self._strike(connection)
        due = {key for key, bucket in self.timers.items() if bucket <= tick}
        for key in due:
            del self.timers[key]
        self.wheel_tick = max(self.wheel_tick, tick)
        return due

    def _strike(self, connection: Connection) -> None:
        released: list[str] = []
        for clock in connection.running():
            if clock.held and self.now_ms >= clock.next_ms:
                clock.next_ms = self.now_ms + clock.interval_ms
                released += clock.held
                clock.held.clear()
        connection.release_idle_clocks()
        for name in released:
            self._owe(connection, name)
        self._wind(connection)
