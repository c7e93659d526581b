"""The aggregator alone: time is made up, and so is what takes what is republished."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.made_up_loop import MadeUpLoop
from wsgate.aggregate.aggregator import PARTS_OF_WINDOW, Aggregator
from wsgate.aggregate.outgoing import UNWRITTEN_BYTES_MAX, WRITE_COMMANDS_MAX
from wsgate.blueprint import AggregationBlueprint
from wsgate.control import GAP_SUBJECT, missed_channels
from wsgate.limits import PAYLOAD_BYTES_MAX
from wsgate.renaming import Renaming
from wsgate.rules import DEFAULT_RULES

WINDOW_S = 0.1
# What a timer may be late: a part of the window, and the millisecond that loops cannot divide.
LATE_S = WINDOW_S / PARTS_OF_WINDOW + 0.001
CHANNELS = ("token.*.update", "token.*.comment", "global.>")
BLUEPRINT = AggregationBlueprint(
    renaming=Renaming(raw="raw", channels=""),
    rules=DEFAULT_RULES,
    channels=CHANNELS,
    window_s=WINDOW_S,
    channels_max=1000,
    backlog_bytes_max=1000,
    nats=None,  # type: ignore[arg-type]  # the outlet is made up
)
STATE, OTHER, EVENT = "token.a.update", "token.b.update", "token.a.comment"
COMMAND = re.compile(rb"PUB ([^ ]+) (\d+)\r\n")


class MadeUpOutlet:
    """Remembers what was written, and when."""

    def __init__(self, loop: MadeUpLoop) -> None:
        self._loop = loop
        self.connected = False
        self.unwritten_bytes = 0
        self.writes: list[bytes] = []
        self.published: list[tuple[str, bytes]] = []
        self.times: list[float] = []
        self.gaps: list[tuple[int, tuple[str, ...]]] = []
        """How many were published before, and of what some are missing."""

    def write(self, commands: bytes) -> None:
        assert self.connected and self.unwritten_bytes <= UNWRITTEN_BYTES_MAX
        self.writes.append(commands)
        while commands:
            head = COMMAND.match(commands)
            assert head is not None, commands
            end = head.end() + int(head[2])
            payload = commands[head.end() : end]
            assert commands[end : end + 2] == b"\r\n"
            commands = commands[end + 2 :]
            if head[1].decode() == GAP_SUBJECT:
                self.gaps.append((len(self.published), missed_channels(payload)))
            else:
                self.published.append((head[1].decode(), payload))
                self.times.append(self._loop.time())

    def of(self, channel: str) -> list[bytes]:
        return [payload for name, payload in self.published if name == channel]


class Rig:
    def __init__(self, *, live: bool = True, **changes: Any) -> None:
        self.loop = MadeUpLoop()
        self.outlet = MadeUpOutlet(self.loop)
        self.aggregator = Aggregator(
            replace(BLUEPRINT, **changes),
            self.loop,  # type: ignore[arg-type]  # as much of one as it needs
            lambda _: self.outlet,
            clock=self.loop.time,
        )
        self.came: Counter[str] = Counter()
        if live:
            self.connect()
            assert self.outlet.gaps, "of before"
            self.outlet.gaps.clear()
            self.outlet.writes.clear()

    def connect(self, missed: tuple[str, ...] = ()) -> None:
        self.outlet.connected = True
        self.aggregator.feed_live("nats", missed)

    def lose(self) -> None:
        self.outlet.connected = False
        self.aggregator.feed_stale("nats")

    def publish(self, channel: str, *payloads: bytes) -> list[bool]:
        self.came[channel] += len(payloads)
        return [self.aggregator.publish(f"raw.{channel}", one) for one in payloads]

    def say(self, channel: str, *payloads: bytes) -> None:
        """Publish, and all that came was read."""
        self.publish(channel, *payloads)
        self.aggregator.caught_up()

    def wait(self, seconds: float) -> None:
        """Let time pass, timers at their time."""
        until_s = self.loop.now_s + seconds
        while due := [one.due_s for one in self.loop.handles if one.due_s <= until_s]:
            self.loop.round(max(0.0, min(due) - self.loop.now_s))
        self.loop.now_s = until_s


def test_the_first_value_leaves_at_once_then_the_latest_once_a_window() -> None:
    rig = Rig()
    rig.say(STATE, b"1")
    assert rig.outlet.of(STATE) == [b"1"]
    for value in (b"2", b"3", b"4"):
        rig.say(STATE, value)
    assert rig.outlet.of(STATE) == [b"1"]
    rig.wait(WINDOW_S + LATE_S)
    assert rig.outlet.of(STATE) == [b"1", b"4"]
    rig.say(STATE, b"5")
    assert rig.outlet.of(STATE) == [b"1", b"4"], "a window began with that, too"
    rig.wait(WINDOW_S + LATE_S)
    assert rig.outlet.of(STATE) == [b"1", b"4", b"5"]
    rig.wait(WINDOW_S + LATE_S)
    rig.say(STATE, b"6")
    assert rig.outlet.of(STATE)[-1] == b"6", "it was quiet for a window"
    assert rig.aggregator.states.conflated == 2
    assert rig.aggregator.states.republished == 4


def test_a_channel_waits_for_its_own_window_only() -> None:
    rig = Rig()
    rig.say(STATE, b"1", b"2")
    rig.wait(WINDOW_S / 2)
    rig.say(OTHER, b"1", b"2")
    assert rig.outlet.of(OTHER) == [b"1"]
    rig.wait(WINDOW_S / 2 + LATE_S)
    assert (rig.outlet.of(STATE), rig.outlet.of(OTHER)) == ([b"1", b"2"], [b"1"])
    rig.wait(WINDOW_S / 2)
    assert rig.outlet.of(OTHER) == [b"1", b"2"]


def test_events_pass_at_once_and_unchanged() -> None:
    rig = Rig()
    payloads = [b"%d" % number for number in range(100)] + [b"", b"\r\n\x00", b"0"]
    assert all(rig.publish(EVENT, *payloads))
    rig.aggregator.caught_up()
    assert rig.outlet.of(EVENT) == payloads
    assert rig.aggregator.events.passed == len(payloads)


def test_all_that_came_leaves_in_one_write_as_far_as_that_is_not_long() -> None:
    rig = Rig()
    rig.publish(EVENT, *[b"x"] * (WRITE_COMMANDS_MAX + 1))
    assert len(rig.outlet.writes) == 1
    rig.aggregator.caught_up()
    assert len(rig.outlet.writes) == 2


def test_one_timer_is_enough_and_none_where_all_is_quiet() -> None:
    rig = Rig()
    for number in range(500):
        rig.say(f"token.{number}.update", b"1", b"2")
    timers = [one for one in rig.loop.handles if one.due_s > rig.loop.now_s]
    assert len(timers) == 1
    rig.wait(3 * WINDOW_S)
    assert not rig.loop.handles
    assert len(rig.outlet.published) == 1000


def test_many_windows_share_a_timer() -> None:
    """However many end, it wakes so many times a window at most."""
    rig = Rig()
    for number in range(200):
        rig.wait(WINDOW_S / 200)
        rig.say(f"token.{number}.update", b"1", b"2")
    before = len(rig.outlet.writes)
    rig.wait(WINDOW_S + LATE_S)
    assert len(rig.outlet.writes) - before <= PARTS_OF_WINDOW + 1
    assert len(rig.outlet.published) == 400


# ------------------------------------------------------------------------- while NATS takes nothing


def test_state_is_held_as_the_latest_while_nats_is_away() -> None:
    rig = Rig()
    rig.say(STATE, b"1", b"2")
    rig.lose()
    rig.wait(10 * WINDOW_S)
    rig.say(STATE, b"3", b"4")
    rig.say(OTHER, b"1", b"2")
    assert rig.aggregator.held == 2
    assert rig.outlet.of(STATE) == [b"1"]
    rig.connect(("raw.token.*.update",))
    assert rig.outlet.of(STATE) == [b"1", b"4"]
    assert rig.outlet.of(OTHER) == [b"2"]
    assert rig.outlet.gaps == [(3, CHANNELS)], "behind what is from before it"
    rig.say(STATE, b"5")
    assert rig.outlet.of(STATE) == [b"1", b"4"], "a window began"
    rig.wait(WINDOW_S + LATE_S)
    assert rig.outlet.of(STATE) == [b"1", b"4", b"5"]


def test_what_was_about_to_leave_when_nats_was_lost_leaves_first() -> None:
    rig = Rig()
    rig.publish(STATE, b"1")
    rig.publish(EVENT, b"1")
    rig.lose()
    rig.publish(STATE, b"2")
    rig.publish(EVENT, b"2")
    rig.aggregator.caught_up()
    rig.loop.round()
    assert rig.outlet.published == []
    rig.connect()
    assert rig.outlet.published == [(STATE, b"1"), (EVENT, b"1"), (EVENT, b"2")]
    rig.wait(WINDOW_S + LATE_S)
    assert rig.outlet.of(STATE) == [b"1", b"2"]


def test_a_start_tells_that_readers_may_have_missed_something() -> None:
    rig = Rig(live=False)
    assert rig.outlet.gaps == []
    rig.connect()
    assert rig.outlet.gaps == [(0, CHANNELS)]


def test_subjects_that_were_denied_for_a_while_are_told_as_channels() -> None:
    rig = Rig(renaming=Renaming(raw="part.1", channels="agg"))
    rig.aggregator.feed_gap("nats", ["part.1.token.*.comment"])
    assert rig.outlet.gaps == [(0, ("agg.token.*.comment",))]


def test_a_slow_server_gets_no_more_until_it_has_taken_what_there_is() -> None:
    rig = Rig()
    rig.outlet.unwritten_bytes = UNWRITTEN_BYTES_MAX + 1
    rig.aggregator.outgoing.look()
    rig.say(STATE, b"1", b"2")
    rig.say(EVENT, b"1", b"2")
    rig.aggregator._arm(rig.loop.now_s)
    rig.wait(10 * WINDOW_S)
    assert rig.outlet.published == []
    assert rig.aggregator.held == 3
    rig.outlet.unwritten_bytes = 0
    rig.wait(LATE_S)
    assert rig.outlet.published == [(STATE, b"2"), (EVENT, b"1"), (EVENT, b"2")]
    assert rig.aggregator.held == 0


def test_a_server_that_becomes_slow_in_the_middle_of_it_is_looked_at_again() -> None:
    rig = Rig()
    write = rig.outlet.write

    def write_and_clog(commands: bytes) -> None:
        write(commands)
        rig.outlet.unwritten_bytes = UNWRITTEN_BYTES_MAX + 1

    rig.outlet.write = write_and_clog  # type: ignore[method-assign]
    rig.lose()
    numbers = [b"%d" % number for number in range(20)]
    rig.say(EVENT, *numbers)
    for number in range(2 * WRITE_COMMANDS_MAX):
        rig.say(f"token.{number}.update", b"1")
    rig.connect()
    while rig.aggregator.held:
        assert len(rig.outlet.writes) < 20
        rig.outlet.unwritten_bytes = 0
        rig.wait(LATE_S)
    assert rig.outlet.of(EVENT) == numbers
    assert len(rig.outlet.published) == 20 + 2 * WRITE_COMMANDS_MAX
    assert len(rig.outlet.writes) == 2, "each as much as one may be"


def test_a_slow_server_is_looked_at_before_the_next_window_ends() -> None:
    rig = Rig(window_s=10.0)
    rig.say(STATE, b"1")
    rig.publish(EVENT, b"1")
    rig.outlet.write = lambda commands: setattr(rig.outlet, "unwritten_bytes", 10**9)  # type: ignore[method-assign]
    rig.aggregator.caught_up()
    del rig.outlet.write
    rig.say(EVENT, b"2")
    rig.outlet.unwritten_bytes = 0
    rig.wait(1.0)
    assert rig.outlet.of(EVENT) == [b"2"]


def test_events_past_the_bound_are_dropped_and_a_gap_stands_where_they_are_missing() -> None:
    rig = Rig()
    rig.lose()
    took = rig.publish(EVENT, *[b"%03d" % number for number in range(100)])
    kept = took.count(True)
    assert took == [True] * kept + [False] * (100 - kept), "the newest are dropped"
    assert 0 < kept < 100
    assert rig.aggregator.events.dropped == 100 - kept
    assert rig.aggregator.events.backlog_bytes <= BLUEPRINT.backlog_bytes_max
    rig.outlet.connected = True
    rig.aggregator._release()
    assert rig.outlet.of(EVENT) == [b"%03d" % number for number in range(kept)]
    assert rig.outlet.gaps == [(kept, ("token.*.comment",))]
    rig.say(EVENT, b"new")
    assert rig.outlet.of(EVENT)[-1] == b"new"
    assert len(rig.outlet.gaps) == 1


def test_one_gap_tells_of_many_drops() -> None:
    """A server that takes some now and then is not sent a gap for each event that it lacks."""
    rig = Rig()
    rig.lose()
    rig.publish(EVENT, *[b"%03d" % number for number in range(100)])
    events = rig.aggregator.events
    full = events.backlog_bytes
    events.release(1)
    assert rig.publish(EVENT, b"x") == [False]
    while events.backlog_bytes > BLUEPRINT.backlog_bytes_max // 2:
        events.release(1)
    assert rig.publish(EVENT, b"y") == [True]
    assert full > events.backlog_bytes
    assert events.gaps == 1 + 1, "that of the start included"


# ------------------------------------------------------------------------------ what is not taken


@pytest.mark.parametrize(
    ("subject", "payload", "reason"),
    [
        ("raw.token.\ufffd.update", b"1", "bad_subject"),
        ("raw.token..update", b"1", "bad_subject"),
        ("elsewhere", b"1", "bad_subject"),
        ("raw.order.1", b"1", "no_rule"),
        ("raw.token.a.update", b"x" * (PAYLOAD_BYTES_MAX + 1), "too_large"),
    ],
)
def test_what_no_gateway_would_take_is_refused_and_counted(
    subject: str, payload: bytes, reason: str
) -> None:
    rig = Rig()
    assert not rig.aggregator.publish(subject, payload)
    rig.aggregator.caught_up()
    assert rig.outlet.published == []
    assert rig.aggregator.refused == {reason: 1}


def test_the_largest_payload_is_taken() -> None:
    rig = Rig()
    rig.say(STATE, b"x" * PAYLOAD_BYTES_MAX)
    assert len(rig.outlet.of(STATE)[0]) == PAYLOAD_BYTES_MAX


def test_quiet_channels_are_forgotten_for_new_ones_and_busy_ones_are_not() -> None:
    rig = Rig(channels_max=10)
    for number in range(10):
        rig.say(f"token.{number}.update", b"1")
    assert rig.publish("token.new.update", b"1") == [False]
    assert rig.aggregator.refused == {"too_many_channels": 1}
    rig.wait(WINDOW_S / 2)
    rig.say("token.9.update", b"2")
    rig.wait(WINDOW_S / 2 + LATE_S)  # all are quiet but the last
    assert rig.publish("token.new.update", b"1") == [True]
    assert rig.aggregator.channels == 2
    rig.aggregator.caught_up()
    rig.say("token.9.update", b"3")
    assert rig.outlet.of("token.9.update") == [b"1", b"2"], "its window was not forgotten"
    rig.wait(WINDOW_S + LATE_S)
    assert rig.outlet.of("token.9.update") == [b"1", b"2", b"3"]


def test_a_flood_of_events_on_ever_new_channels_takes_no_memory() -> None:
    rig = Rig(channels_max=10)
    for number in range(1000):
        rig.say(f"token.{number}.comment", b"1")
    assert rig.aggregator.channels <= 10
    assert len(rig.outlet.published) == 1000


def test_finishing_waits_for_no_window() -> None:
    rig = Rig()
    rig.say(STATE, b"1", b"2")
    assert rig.aggregator.held == 1
    rig.aggregator.finish()
    assert rig.aggregator.held == 0
    assert rig.outlet.of(STATE) == [b"1", b"2"]


def test_lag_leaves_the_window_out() -> None:
    rig = Rig()
    rig.publish(EVENT, b"1")
    rig.loop.now_s += 0.03
    rig.aggregator.caught_up()
    assert rig.aggregator.lag.sum == pytest.approx(0.03)
    rig.say(STATE, b"1", b"2")
    rig.wait(WINDOW_S + LATE_S)
    assert rig.aggregator.lag.count == 3
    assert rig.aggregator.lag.sum == pytest.approx(0.03 + 0.001)


# ------------------------------------------------------------------------------- any interleaving

NAMES = ("token.a.update", "token.b.update", "global.trending", "token.a.comment", "global.x")
EVENTS = frozenset(NAMES[3:])
STEPS = st.one_of(
    st.tuples(st.just("publish"), st.sampled_from(NAMES)),
    st.tuples(st.just("caught up")),
    st.tuples(st.just("round")),
    st.tuples(st.just("wait"), st.sampled_from([0.001, 0.02, WINDOW_S / 2, WINDOW_S, 0.3])),
    st.tuples(st.just("clog"), st.booleans()),
    st.tuples(st.just("connection"), st.booleans()),
)


class Story:
    """Does what it is told, and holds what came out against what went in."""

    def __init__(self) -> None:
        self.rig = Rig(backlog_bytes_max=200)
        self.number = 0
        self.sent: dict[str, list[bytes]] = defaultdict(list)
        self.dropped: dict[str, set[bytes]] = defaultdict(set)

    def tell(self, step: tuple[Any, ...]) -> None:
        rig = self.rig
        match step:
            case ("publish", name):
                self.publish(name)
            case ("caught up",):
                rig.aggregator.caught_up()
            case ("round",):
                rig.loop.round()
            case ("wait", seconds):
                rig.wait(seconds)
            case ("clog", clogged):
                self.clog(clogged)
            case ("connection", up) if up != rig.outlet.connected:
                rig.connect(CHANNELS) if up else rig.lose()

    def publish(self, name: str) -> None:
        rig = self.rig
        self.number += 1
        payload = b"%06d" % self.number
        self.sent[name].append(payload)
        free = rig.aggregator.outgoing.open
        quiet = name in EVENTS or (
            rig.outlet.of(name)[-1:] == self.sent[name][-2:-1]
            and self.last_s(name) + WINDOW_S + LATE_S < rig.loop.now_s
        )
        (took,) = rig.publish(name, payload)
        if not took:
            self.dropped[name].add(payload)
        elif free and quiet:
            rig.aggregator.caught_up()
            assert rig.outlet.of(name)[-1] == payload, "the leading edge leaves at once"

    def last_s(self, name: str) -> float:
        """When something of it was published last."""
        outlet = self.rig.outlet
        times = zip(outlet.published, outlet.times, strict=True)
        return max((at_s for (one, _), at_s in times if one == name), default=0.0)

    def clog(self, clogged: bool) -> None:
        self.rig.outlet.unwritten_bytes = UNWRITTEN_BYTES_MAX + 1 if clogged else 0
        if clogged and self.rig.outlet.connected:
            # As after a write, which may come at any time.
            self.rig.aggregator.outgoing.look()
            if self.rig.aggregator._timer is None:
                self.rig.aggregator._arm(self.rig.loop.now_s)

    def end(self) -> None:
        self.clog(False)
        if not self.rig.outlet.connected:
            self.rig.connect(CHANNELS)
        self.rig.aggregator.caught_up()
        self.rig.wait(3 * WINDOW_S)

    def check(self) -> None:
        outlet, aggregator = self.rig.outlet, self.rig.aggregator
        times: dict[str, list[float]] = defaultdict(list)
        for (name, _), at_s in zip(outlet.published, outlet.times, strict=True):
            times[name].append(at_s)
        for name, sent in self.sent.items():
            published = outlet.of(name)
            assert published == sorted(published), "order"
            assert len(published) == len(set(published)), "once"
            if name in EVENTS:
                assert published == [one for one in sent if one not in self.dropped[name]]
            else:
                assert published[-1] == sent[-1], "it ends on the latest"
                apart = [b - a for a, b in zip(times[name], times[name][1:], strict=False)]
                assert all(one >= WINDOW_S - 1e-9 for one in apart), "at most one a window"
        states, events = aggregator.states, aggregator.events
        assert aggregator.held == 0
        came_states = sum(len(self.sent[name]) for name in self.sent if name not in EVENTS)
        came_events = sum(len(self.sent[name]) for name in self.sent if name in EVENTS)
        assert states.republished + states.conflated == came_states
        assert events.passed + events.dropped == came_events
        assert states.republished + events.passed == len(outlet.published)
        assert events.dropped == sum(map(len, self.dropped.values()))
        assert events.backlog_bytes == 0
        if events.dropped:
            assert outlet.gaps, "who lacks events is told"


@given(st.lists(STEPS, max_size=80))
def test_any_interleaving_ends_on_the_latest_in_order_and_all_counted(
    steps: list[tuple[Any, ...]],
) -> None:
    story = Story()
    for step in steps:
        story.tell(step)
        assert story.rig.aggregator.events.backlog_bytes <= 200 + 200, "the bound, and a gap"
        assert len(story.rig.aggregator.outgoing.batch) <= 2 * WRITE_COMMANDS_MAX
    story.end()
    story.check()


def test_renaming() -> None:
    plain, prefixed = Renaming("raw", ""), Renaming("part.0", "agg")
    assert plain.raw_of("token.*.update") == "raw.token.*.update"
    assert plain.channel_of("raw.token.a.update") == "token.a.update"
    assert prefixed.raw_of("agg.global.>") == "part.0.global.>"
    assert prefixed.channel_of("part.0.global.x") == "agg.global.x"
    for wrong in ("rawtoken.a", "token.a", "raw"):
        with pytest.raises(ValueError, match=r"does not begin with 'raw\."):
            plain.channel_of(wrong)
    with pytest.raises(ValueError, match=r"'token\.a' does not begin with 'agg\.'"):
        prefixed.raw_of("token.a")
