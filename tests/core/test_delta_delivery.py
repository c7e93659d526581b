"""wsgate.delta.v1 through the whole core: cut writes, slow readers, renewals, in any order.

After whatever happened a client holds the latest of every state channel, and has had each event
once, in order. That everything else is as with wsgate.v1, word for word, is in ``test_model``.
"""

from __future__ import annotations

import json
import os
import random
from collections import defaultdict

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.core.model import is_pattern, matches
from tests.core.rig import ALL, RULES, Rig, gap_message, rule_of, slot_of
from tests.core.speaker import Speaker
from tests.core.wire import Carry, Wire
from wsgate.core.counters import live_objects
from wsgate.core.fanout import Fanout
from wsgate.core.frame import Frame
from wsgate.delta import CHANNELS_HELD_MAX, Form, squeeze

EXAMPLES = int(os.environ.get("WSGATE_MODEL_EXAMPLES", "100"))
CHANNELS = ["state.a.x", "state.b.x", "state.c", "event.a.x", "event.c"]
PATTERNS = ["state.>", "*.a.x", "event.>", ">"]
LIMITS = {"channels_max": 4}
PLACES = 4


class DeltaRig(Rig):
    """A rig whose connections speak wsgate.delta.v1, and what they make of what they get."""

    def __init__(self, **limits: int) -> None:
        super().__init__(squeeze=self._squeeze, **limits)
        self.squeezes = 0
        self.speakers: dict[int, Speaker] = {}

    def _squeeze(self, payload: bytes, dictionary: bytes) -> bytes:
        self.squeezes += 1
        return squeeze(payload, dictionary)

    def open(self, *channels: str) -> int:
        handle = self.core.open(delta=True)
        self.wire.renew(slot_of(handle))
        self.speakers[handle] = Speaker()
        for name in channels:
            self.subscribe(handle, name)
        return handle

    def reader(self, handle: int) -> Speaker:
        """The client, who has read what came, and what the transport holds besides."""
        slot = slot_of(handle)
        speaker = self.speakers[handle]
        speaker.in_text(bytes(self.wire.stream(slot)) + self.wire.held.get(slot, b""))
        return speaker

    def got(self, handle: int) -> list[tuple[str, int, bytes]]:
        return [(one.channel, one.seq, one.data) for one in self.reader(handle).publications]


def document(number: int, chance: random.Random) -> bytes:
    """Whole objects in which a part changes, and by and by all of it."""
    part = number // 10
    words = " ".join(f"w{(part + place) % 50}" for place in range(12))
    return json.dumps({"n": number, "w": words, "p": round(chance.random(), 5)}).encode()


# ------------------------------------------------------------------------------- one at a time


@pytest.mark.parametrize("channel", ["state.a", "event.a"])
def test_it_is_encoded_once_for_all_and_not_at_all_for_nobody(channel: str) -> None:
    rig, chance = DeltaRig(), random.Random(1)
    rig.core.open()
    speakers = rig.open_many(20, channel)
    plain = Rig.open(rig, channel)
    payloads = [document(number, chance) for number in range(30)]
    for payload in payloads:
        rig.publish(channel, payload)
        rig.flush()
    for handle in speakers:
        assert [data for _, _, data in rig.got(handle)] == payloads
    assert [data for _, _, data in rig.publications(plain)] == [json.loads(p) for p in payloads]
    totals = rig.core.counters.snapshot()
    assert totals["frames_encoded"] == totals["frames_delta"] == 30
    assert rig.squeezes == 30
    assert totals["deliveries"] == 30 * 21
    assert totals["keyframes_sent"] == 20
    assert totals["writes"] == 30 * 21, "a keyframe goes along"
    size = sum(len(rig.stream(handle)) for handle in speakers[:1])
    assert totals["frames_delta_bytes"] + totals["keyframes_sent_bytes"] // 20 == size
    text = len(rig.stream(plain))
    assert totals["frames_delta_saved_bytes"] == text - totals["frames_delta_bytes"]


def test_a_format_that_nobody_wants_is_never_made() -> None:
    rig = DeltaRig()
    speaker, plain = rig.open(), Rig.open(rig, "state.a", "event.a")
    rig.publish("state.a", b'{"a":1}')
    rig.publish("event.a", b'{"a":1}')
    rig.flush()
    assert rig.squeezes == 0
    assert len(rig.received(plain)) == 2
    assert rig.got(speaker) == []


def test_replies_and_gaps_stay_text() -> None:
    rig = DeltaRig(events_count_max=2)
    handle = rig.open("event.a")
    rig.delivery.block(handle)
    for number in range(5):
        rig.publish("event.a", b"%d" % number)
    rig.resume(handle)
    rig.delivery.reply(handle, Frame.text(b'{"type":"pong"}'))
    rig.flush_all()
    assert rig.received(handle) == [b'{"type":"pong"}', gap_message(2)]
    assert [data for _, _, data in rig.got(handle)] == [b"0", b"1"]


@pytest.mark.parametrize("carry", ["holds", "passes"])
@pytest.mark.parametrize("room", [0, 1, 2, 30, 59, 60, 61, 62, 63, 64, 65, 66, 67, 70, 100, 140])
def test_a_write_that_is_cut_anywhere(room: int, carry: Carry) -> None:
    rig, chance = DeltaRig(), random.Random(1)
    handle = rig.open("state.a", "event.a")
    payloads = [document(number, chance) for number in range(8)]
    for payload in payloads:
        rig.publish("event.a", payload)
        rig.publish("state.a", payload)
    rig.wire.accept(slot_of(handle), room, carry)
    rig.flush_all()
    rig.resume(handle)
    rig.flush_all()
    got = rig.got(handle)
    assert [data for channel, _, data in got if channel == "event.a"] == payloads
    assert [data for channel, _, data in got if channel == "state.a"][-1] == payloads[-1]
    rig.core.check()


def test_what_waited_while_keyframes_were_renewed() -> None:
    rig, chance = DeltaRig(), random.Random(2)
    slow, step = rig.open("event.a", "state.a"), rig.open("event.a", "state.a")
    payloads = [document(number, chance) for number in range(100)]
    for place, payload in enumerate(payloads):
        if place == 20:
            rig.delivery.block(slow)
        rig.publish("event.a", payload)
        rig.publish("state.a", payload)
        rig.flush_all()
        if place == 60:
            late = rig.open("event.a", "state.a")
    rig.resume(slow)
    rig.flush_all()
    assert rig.total("keyframes_renewed") > 5
    for handle, since in ((slow, 0), (step, 0), (late, 61)):
        events = [data for channel, _, data in rig.got(handle) if channel == "event.a"]
        assert events == payloads[since:]
        states = [data for channel, _, data in rig.got(handle) if channel == "state.a"]
        assert states[-1] == payloads[-1]
    assert rig.total("frames_delta") == 200


def test_events_encoded_for_an_older_keyframe_after_a_newer_one() -> None:
    """What was published first may be encoded last: who came later was served first."""
    rig, chance = DeltaRig(), random.Random(4)
    payloads = [document(number * 10, chance) for number in range(40)]
    slow = rig.open("event.a")
    rig.delivery.block(slow)
    for payload in payloads[:20]:
        rig.publish("event.a", payload)
    quick = rig.open("event.a")
    for payload in payloads[20:]:
        rig.publish("event.a", payload)
        rig.flush_all()
    assert rig.total("keyframes_renewed") > 1
    rig.resume(slow)
    rig.flush_all()
    assert [data for _, _, data in rig.got(slow)] == payloads
    assert [data for _, _, data in rig.got(quick)] == payloads[20:]
    assert rig.reader(slow).forms[Form.KEYFRAME] <= 3


def test_the_last_value_on_subscribing_and_once_more() -> None:
    rig = DeltaRig()
    first = rig.open("state.a")
    rig.publish("state.a", b'{"price":1}')
    rig.flush_all()
    rig.subscribe(first, "state.a")
    second = rig.open("state.a")
    rig.flush_all()
    assert rig.got(first) == 2 * [("state.a", 1, b'{"price":1}')]
    assert rig.got(second) == [("state.a", 1, b'{"price":1}')]
    assert rig.reader(first).forms == {Form.KEYFRAME: 1, Form.SAME: 2}


def test_a_keyframe_survives_unsubscribing() -> None:
    rig = DeltaRig()
    handle = rig.open("event.a")
    rig.publish("event.a", b'{"price":1}')
    rig.flush_all()
    rig.core.unsubscribe(handle, "event.a")
    rig.subscribe(handle, "event.a")
    rig.publish("event.a", b'{"price":1}')
    rig.flush_all()
    assert rig.reader(handle).forms == {Form.KEYFRAME: 1, Form.SAME: 2}


def test_a_slot_that_is_given_again_holds_nothing() -> None:
    rig = DeltaRig()
    before = rig.open("event.a")
    rig.publish("event.a", b'{"price":1}')
    rig.flush_all()
    rig.core.release(before)
    after = rig.open("event.a")
    assert slot_of(after) == slot_of(before)
    rig.publish("event.a", b'{"price":1}')
    rig.flush_all()
    assert [seq for _, seq, _ in rig.got(after)] == [2]
    assert rig.total("keyframes_sent") == 2


@pytest.mark.parametrize("kind", ["state", "event"])
def test_more_channels_than_a_client_holds(kind: str) -> None:
    """Both forget alike, also within one write."""
    rig = DeltaRig(channels_max=10_000, events_count_max=32_768, events_bytes_max=1 << 24)
    handle = rig.open(f"{kind}.>")
    count = CHANNELS_HELD_MAX + 300
    expected = []
    for turn in range(3):
        order = [*range(count)] if turn != 1 else [*range(count - 1, -1, -1)]
        for number in order:
            rig.publish(f"{kind}.c{number}", b'{"turn":%d}' % turn)
            expected.append((f"{kind}.c{number}", b'{"turn":%d}' % turn))
        rig.flush_all()
    got = [(channel, data) for channel, _, data in rig.got(handle)]
    assert got == expected
    assert len(rig.reader(handle).decoder) == CHANNELS_HELD_MAX


@pytest.mark.parametrize("kind", ["state", "event"])
def test_who_is_forgotten_within_a_write_is_not_taken_for_known_in_the_same(kind: str) -> None:
    rig = DeltaRig(channels_max=10_000, events_count_max=32_768, events_bytes_max=1 << 24)
    handle = rig.open(f"{kind}.>")
    names = [f"{kind}.c{number}" for number in range(CHANNELS_HELD_MAX)]
    for name in names:
        rig.publish(name, b'{"some":"thing"}')
    rig.flush_all()
    for new, old in (("a", 0), ("b", 2), ("c", 4)):
        rig.publish(f"{kind}.{new}", b'{"some":"thing"}')
        rig.publish(names[old], b'{"some":"other"}')
        rig.publish(names[old + 1], b'{"some":"other"}')
        rig.flush_all()
    got = [channel for channel, _, _ in rig.got(handle)][CHANNELS_HELD_MAX:]
    assert len(got) == 9
    assert rig.total("keyframes_sent") > CHANNELS_HELD_MAX + 3


def test_all_is_freed() -> None:
    before = live_objects()
    core = Fanout(Wire(), RULES, gap_message, channels_max=100, events_bytes_max=1 << 20,
                  events_count_max=100, control_bytes_max=1 << 16, squeeze=squeeze)  # fmt: skip
    plain = [core.open() for _ in range(100)]
    assert live_objects()["blocks"] == before["blocks"] + blocks_of(plain)
    handles = [core.open(delta=True) for _ in range(100)]
    for handle in handles:
        core.subscribe(handle, "event.a", 1)
        core.subscribe(handle, "state.a", 0)
    for number in range(30):
        core.publish(core.open_channel("event.a", 1), b'{"a":%d,"text":"the same"}' % number)
        core.publish(core.open_channel("state.a", 0), b'{"a":%d,"text":"the same"}' % number)
        core.flush(number, ALL)
    core.delivery.block(handles[0])
    core.publish(core.open_channel("event.a", 1), b"1")
    core.check()
    del core
    assert live_objects() == before


def blocks_of(plain: list[int]) -> int:
    """What a core without anybody who speaks it allocates for its connections."""
    before = live_objects()["blocks"]
    core = Fanout(Wire(), RULES, gap_message, channels_max=100, events_bytes_max=1 << 20,
                  events_count_max=100, control_bytes_max=1 << 16)  # fmt: skip
    for _ in plain:
        core.open()
    return live_objects()["blocks"] - before


def test_a_core_that_cannot_do_it_says_so_at_once() -> None:
    with pytest.raises(ValueError, match=r"wsgate\.delta\.v1"):
        Rig().core.open(delta=True)


# --------------------------------------------------------------------------------- in any order


places = st.integers(0, PLACES - 1)
names = st.sampled_from(CHANNELS + PATTERNS)
chokes = st.lists(
    st.tuples(
        places,
        st.one_of(st.integers(0, 40), st.integers(0, 600)),
        st.sampled_from(["holds", "holds", "passes"]),
    ),
    max_size=3,
)


class AnyOrder(RuleBasedStateMachine):
    """Clients with events that must not be lost: the limits are out of reach."""

    @initialize(
        seed=st.integers(0, 99),
        subscriptions=st.lists(st.tuples(places, names), min_size=4, max_size=10),
    )
    def begin(self, seed: int, subscriptions: list[tuple[int, str]]) -> None:
        self.chance = random.Random(seed)
        self.rig = DeltaRig(**LIMITS)
        self.core = self.rig.core
        self.number = 0
        self.latest: dict[str, tuple[int, bytes]] = {}
        self.published: dict[tuple[str, int], bytes] = {}
        # By handle: the events that are to come, or came, in order.
        self.due: dict[int, dict[str, list[int]]] = {}
        self.handles = [self._open() for _ in range(PLACES)]
        for subscription in subscriptions:
            self.subscribe(*subscription, 0)

    def _open(self) -> int:
        handle = self.rig.open()
        self.due[handle] = defaultdict(list)
        return handle

    def _matches(self, handle: int, channel: str) -> bool:
        return any(matches(name, channel) for name in self.core.subscriptions_of(handle))

    @rule(place=places, subscriptions=st.lists(names, min_size=1, max_size=3))
    def replace(self, place: int, subscriptions: list[str]) -> None:
        old = self.handles[place]
        assert self.core.release(old)
        del self.due[old], self.rig.speakers[old]
        self.handles[place] = self._open()
        for name in subscriptions:
            self.subscribe(place, name, 0)

    @rule(place=places, name=names, interval_ms=st.sampled_from([0, 0, 50, 200]))
    def subscribe(self, place: int, name: str, interval_ms: int) -> None:
        known = {one for one in CHANNELS if self.core.find_channel(one) is not None}
        if not is_pattern(name) and name not in known and len(known) >= LIMITS["channels_max"]:
            return  # it may be that all are in use
        self.rig.subscribe(self.handles[place], name, interval_ms)
        self._forget_what_the_core_forgot()

    @rule(place=places, choice=st.integers(0, 5))
    def unsubscribe(self, place: int, choice: int) -> None:
        """What is owed for it alone is given up."""
        handle = self.handles[place]
        own = self.core.subscriptions_of(handle)
        if own:
            self.core.unsubscribe(handle, own[choice % len(own)])
            for channel, due in self.due[handle].items():
                if not self._matches(handle, channel):
                    came = {seq for name, seq, _ in self.rig.got(handle) if name == channel}
                    due[:] = [seq for seq in due if seq in came]

    @rule(names=st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=12), jump=st.booleans())
    def publish(self, names: list[str], jump: bool) -> None:
        for channel in names:
            if self.core.find_channel(channel) is None and len(self._in_use()) >= 4:
                continue
            self.number += 25 if jump else 1
            payload = document(self.number, self.chance)
            if self.chance.random() < 0.05:
                payload = b"%d" % self.number
            self.rig.publish(channel, payload)
            self._forget_what_the_core_forgot()
            facts = self.core.facts(channel)
            assert facts is not None
            seq = facts["seq"]
            self.published[channel, seq] = payload
            if rule_of(channel):
                for handle, due in self.due.items():
                    if self._matches(handle, channel):
                        due[channel].append(seq)
            else:
                self.latest[channel] = seq, payload

    def _in_use(self) -> set[str]:
        """Channels that may not be forgotten: a guess that is never too low."""
        return {one for one in CHANNELS if self.core.find_channel(one) is not None}

    def _forget_what_the_core_forgot(self) -> None:
        for channel in list(self.latest):
            if self.core.find_channel(channel) is None:
                del self.latest[channel]

    @rule(
        names=st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=3),
        times=st.integers(1, 12),
        chokes=chokes,
    )
    def publish_often(
        self, names: list[str], times: int, chokes: list[tuple[int, int, Carry]]
    ) -> None:
        """Enough of it for keyframes to be renewed."""
        for turn in range(times):
            self.publish(names, False)
            self.flush(ALL, 1, chokes if turn == times // 2 else [])

    @rule(visits=st.sampled_from([1, 2, ALL]), passed_ms=st.integers(0, 60), chokes=chokes)
    def flush(self, visits: int, passed_ms: int, chokes: list[tuple[int, int, Carry]]) -> None:
        for place, size, carry in chokes:
            handle = self.handles[place]
            if not self.core.delivery.is_blocked(handle):
                self.rig.wire.accept(slot_of(handle), size, carry)
        self.rig.now_ms += passed_ms
        self.core.flush(self.rig.now_ms, visits)

    @rule(place=places)
    def block(self, place: int) -> None:
        self.core.delivery.block(self.handles[place])

    @rule(place=places)
    def resume(self, place: int) -> None:
        self.rig.resume(self.handles[place])

    @rule(place=places, paused=st.booleans())
    def pause(self, place: int, paused: bool) -> None:
        delivery = self.core.delivery
        (delivery.pause if paused else delivery.unpause)(self.handles[place])

    @rule(place=places)
    def reply(self, place: int) -> None:
        self.core.delivery.reply(self.handles[place], Frame.text(b'{"type":"pong"}'))
        self.core.delivery.flush_urgent(ALL)

    @rule(passed_ms=st.integers(0, 400))
    def tick(self, passed_ms: int) -> None:
        self.rig.later(passed_ms)

    @invariant()
    def what_came_is_what_was_published(self) -> None:
        self.core.check()
        assert self.core.delivery.take_doomed() == []
        for handle, due in self.due.items():
            last: dict[str, int] = {}
            came = defaultdict(list)
            for channel, seq, data in self.rig.got(handle):
                assert self.published[channel, seq] == data
                assert seq > last.get(channel, 0) - (rule_of(channel) == 0)
                last[channel] = seq
                came[channel].append(seq)
            for channel, seqs in came.items():
                if rule_of(channel):
                    assert due[channel][: len(seqs)] == seqs

    def teardown(self) -> None:
        if not hasattr(self, "handles"):
            return
        for handle in self.handles:
            self.core.delivery.unpause(handle)
            self.rig.resume(handle)
        self.rig.flush_all()
        self.rig.later(1000)
        self.rig.flush_all()
        self.what_came_is_what_was_published()
        forms = sum((one.forms for one in self.rig.speakers.values()), start=type(forms_seen)())
        forms_seen.update(forms)
        for handle, due in self.due.items():
            got = self.rig.got(handle)
            for channel, seqs in due.items():
                assert [seq for name, seq, _ in got if name == channel] == seqs
            last = {channel: (seq, data) for channel, seq, data in got}
            for channel, latest in self.latest.items():
                if self._matches(handle, channel):
                    assert last[channel] == latest


forms_seen: dict[Form, int] = type(Speaker().forms)()


def test_in_any_order_it_is_right_in_the_end() -> None:
    forms_seen.clear()
    run_state_machine_as_test(
        AnyOrder,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=60,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
    assert set(forms_seen) == set(Form), "every form, in every order"
