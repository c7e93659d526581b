"""Fan-out: a publication reaches whoever wants it, once, and costs what it must and no more."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core import model
from tests.core.rig import EVENT, LIMITS, RULES, STATE, Rig, gap_message
from wsgate.core.fanout import Fanout
from wsgate.core.frame import Frame
from wsgate.core.sink import NullSink

NAMES = ["event.a", "event.b", "event.a.b", "state.a", "state.a.b"]
SUBSCRIPTIONS = [*NAMES, "event.*", "event.>", "*.a", "*.a.*", ">", "state.>"]


@given(
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from(SUBSCRIPTIONS)), max_size=30),
    st.lists(st.sampled_from(NAMES), max_size=10),
)
@settings(deadline=None, max_examples=200)
def test_everybody_gets_what_they_want_and_nothing_else(
    subscriptions: list[tuple[int, str]], published: list[str]
) -> None:
    rig = Rig()
    handles = rig.open_many(5)
    for place, name in subscriptions:
        rig.subscribe(handles[place], name)
    for number, name in enumerate(published):
        wanted = any(model.matches(wish, name) for _, wish in subscriptions)
        assert rig.publish(name, b"%d" % number) is wanted
        rig.flush()
    for place, handle in enumerate(handles):
        wishes = [wish for owner, wish in subscriptions if owner == place]
        assert rig.values(handle) == [
            (name, number)
            for number, name in enumerate(published)
            if any(model.matches(wish, name) for wish in wishes)
        ]


@pytest.mark.parametrize("name", ["event.a", "state.a"])
def test_a_connection_matched_many_times_is_sent_once(name: str) -> None:
    rig = Rig()
    handle = rig.open(name, "*.a", "*.*", ">", name.split(".")[0] + ".>")
    for _ in range(3):
        rig.publish(name)
        rig.flush()
    assert [seq for _, seq, _ in rig.publications(handle)] == [1, 2, 3]
    assert rig.total("deliveries") == 3


@pytest.mark.parametrize("name", ["event.a", "state.a"])
def test_a_thousand_subscribers_cost_one_encoding(name: str) -> None:
    rig = Rig()
    handles = rig.open_many(1000, name)
    rig.publish(name, b'"x"')
    rig.flush()
    assert rig.total("frames_encoded") == 1
    assert rig.total("deliveries") == 1000
    assert len({rig.stream(handle) for handle in handles}) == 1


@pytest.mark.parametrize("name", ["event.a", "state.a"])
def test_what_nobody_wants_is_never_encoded(name: str) -> None:
    rig = Rig()
    rig.open("event.other", "state.other", "*.b")
    gone = rig.open(name)
    rig.core.release(gone)
    assert rig.publish(name) is False
    rig.flush()
    assert rig.total("frames_encoded") == 0
    assert rig.total("publications") == rig.total("publications_unwanted") == 1
    assert not rig.core.owes_publications


def test_state_published_twice_before_a_flush_is_encoded_once() -> None:
    rig = Rig()
    handles = rig.open_many(3, "state.a")
    for value in (b"1", b"2", b"3"):
        assert rig.publish("state.a", value) is True
    rig.flush()
    assert rig.total("frames_encoded") == 1
    assert rig.total("conflated") == 2 * 3
    assert all(rig.publications(handle) == [("state.a", 3, 3)] for handle in handles)


def test_a_last_value_is_encoded_once_for_all_who_come() -> None:
    rig = Rig()
    rig.publish("state.a")
    for _ in range(10):
        rig.open("state.a")
        rig.flush()
    assert rig.total("frames_encoded") == 1
    assert rig.total("deliveries") == 10


def test_state_that_waits_only_for_a_slow_connection_is_not_encoded() -> None:
    rig = Rig()
    handle = rig.open("state.a")
    rig.delivery.block(handle)
    for _ in range(5):
        rig.publish("state.a")
        rig.flush()
    assert rig.total("frames_encoded") == 0
    rig.resume(handle)
    rig.flush()
    assert rig.total("frames_encoded") == 1


def test_state_that_everybody_left_before_the_flush_is_unwanted() -> None:
    rig = Rig()
    handle = rig.open("state.a")
    rig.publish("state.a")
    rig.core.unsubscribe(handle, "state.a")
    assert rig.publish("state.a") is False
    assert rig.total("publications_unwanted") == 1
    rig.flush()
    assert rig.stream(handle) == b""
    assert rig.total("frames_encoded") == 0


def test_who_subscribes_between_a_publication_and_its_flush_gets_it_once() -> None:
    rig = Rig()
    early = rig.open("state.a")
    rig.publish("state.a", b"1")
    late = rig.open("state.a")
    latest = rig.open("state.*")
    rig.flush()
    rig.flush()
    for handle in (early, late, latest):
        assert rig.publications(handle) == [("state.a", 1, 1)]


def test_who_leaves_between_a_publication_and_its_flush_gets_nothing() -> None:
    rig = Rig()
    leaving, staying = rig.open_many(2, "state.a")
    rig.publish("state.a", b"1")
    rig.core.unsubscribe(leaving, "state.a")
    rig.flush()
    assert rig.stream(leaving) == b""
    assert rig.publications(staying) == [("state.a", 1, 1)]


def test_an_event_is_owed_from_when_it_was_published() -> None:
    """To who was subscribed then, and to nobody who came later."""
    rig = Rig()
    early = rig.open("event.a")
    rig.publish("event.a")
    late = rig.open("event.a")
    rig.flush()
    assert len(rig.received(early)) == 1
    assert rig.received(late) == []


def test_settling_owes_what_waits_and_a_flush_does_not_owe_it_again() -> None:
    rig = Rig()
    handle = rig.open("state.a", "state.b")
    rig.publish("state.a", b"1")
    rig.publish("state.b", b"2")
    rig.core.settle_all()
    rig.core.settle_all()
    rig.core.check()
    rig.publish("state.a", b"3")
    rig.flush()
    rig.flush()
    assert rig.values(handle) == [("state.a", 3), ("state.b", 2)]
    assert not rig.core.owes_publications


@pytest.mark.parametrize("id", [0, 1, 1000, 2**31, 2**40])
def test_publishing_on_what_is_no_channel_is_an_error(id: int) -> None:
    rig = Rig()
    with pytest.raises(KeyError, match=str(id)):
        rig.core.publish(id, b"1")
    assert rig.total("publications") == 0


def test_publishing_on_a_pattern_is_an_error() -> None:
    rig = Rig()
    rig.open("event.*")
    id = rig.core.index.ids["event.*"]
    with pytest.raises(KeyError):
        rig.core.publish(id, b"1")


def test_a_channel_keeps_the_rule_it_was_opened_with() -> None:
    rig = Rig()
    first = rig.core.open_channel("event.a", EVENT)
    assert rig.core.open_channel("event.a", STATE) == first
    handle = rig.open("event.a")
    for _ in range(2):
        rig.core.publish(first, b"1")
    rig.flush()
    assert len(rig.received(handle)) == 2


@pytest.mark.parametrize("count", [0, 65])
def test_there_are_from_1_to_64_rules(count: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 64 rules"):
        Fanout(NullSink(), RULES[:1] * count, gap_message, **LIMITS)


def test_the_64th_rule_has_a_gap_of_its_own() -> None:
    rules = [("t", "event", "gap")] * 64
    masks: list[int] = []

    def note_mask(mask: int) -> bytes:
        masks.append(mask)
        return b"{}"

    core = Fanout(NullSink(), rules, note_mask, **(LIMITS | {"events_count_max": 1}))
    handle = core.open()
    core.subscribe(handle, "a", 63)
    for _ in range(2):
        core.publish(core.open_channel("a", 63), b"1")
    core.flush(0, 10)
    assert masks == [1 << 63]


@pytest.mark.parametrize("rule", [("t", "stat", "gap"), ("t", "event", "drop")])
def test_a_rule_is_one_of_those_that_there_are(rule: tuple[str, str, str]) -> None:
    with pytest.raises(KeyError):
        Fanout(NullSink(), [rule], gap_message, **LIMITS)


def test_the_core_knows_no_loop_and_no_socket() -> None:
    """Importing it brings in nothing that waits, connects or logs."""
    code = (
        "import sys; before = set(sys.modules); import wsgate.core.fanout; "
        "new = set(sys.modules) - before; "
        "bad = {'asyncio', 'socket', 'selectors', 'logging', 'picows', 'uvloop', 'time'} & new; "
        "sys.exit(repr(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_lost_event_is_a_gap_in_its_place_and_a_hole_in_the_positions() -> None:
    rig = Rig()
    handle = rig.open("event.a", "event.*")
    stranger = rig.open("event.b")
    rig.publish("event.a", b"1")
    rig.flush()
    rig.core.lose(rig.core.open_channel("event.a", EVENT))
    rig.flush()
    rig.publish("event.a", b"3")
    rig.flush()
    assert [json.loads(frame.payload) for frame in rig.frames(handle)] == [
        {"type": "note", "channel": "event.a", "seq": 1, "prev": 0, "data": 1},
        {"type": "gap", "rules": 1 << EVENT},
        {"type": "note", "channel": "event.a", "seq": 3, "prev": 2, "data": 3},
    ]
    assert rig.frames(stranger) == []
    assert rig.total("dropped_rate") == rig.total("dropped") == 1, "once, though matched twice"


def test_several_lost_in_a_row_are_one_gap_and_what_comes_next_is_sent() -> None:
    rig = Rig()
    handle = rig.open("event.a")
    for number in range(6):
        if number in (1, 2, 4):
            rig.core.lose(rig.core.open_channel("event.a", EVENT))
        else:
            rig.publish("event.a", b"%d" % number)
    rig.flush_all()
    messages = [json.loads(frame.payload) for frame in rig.frames(handle)]
    assert [one.get("data", "gap") for one in messages] == [0, "gap", 3, "gap", 5]


def test_a_lost_event_needs_no_room() -> None:
    rig = Rig(events_count_max=2)
    handle = rig.open("event.a")
    rig.choke(handle)
    for number in range(2):
        rig.publish("event.a", b"%d" % number)
    rig.core.lose(rig.core.open_channel("event.a", EVENT))
    rig.resume(handle)
    rig.flush_all()
    messages = [json.loads(frame.payload) for frame in rig.frames(handle)]
    assert [one.get("data", "gap") for one in messages] == [0, 1, "gap"]


def test_a_blocked_or_closing_connection_may_miss_an_event_too() -> None:
    rig = Rig()
    blocked, closing = rig.open_many(2, "event.a")
    rig.choke(blocked)
    rig.publish("event.a", b"1")
    rig.flush()
    rig.delivery.end(closing, Frame.close(1000), True)
    rig.core.lose(rig.core.open_channel("event.a", EVENT))
    rig.resume(blocked)
    rig.flush_all()
    assert [json.loads(frame.payload)["type"] for frame in rig.frames(blocked)] == ["note", "gap"]
    assert [frame.opcode for frame in rig.frames(closing)] == [1, 8]
    rig.core.check()
