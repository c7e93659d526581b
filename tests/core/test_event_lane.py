"""The lane of events: a ring with two limits, and a gap in the place of what is missing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.rig import Rig, blocked, gap_message, owed, resumed, text
from wsgate.core.frame import Frame

GAP_NOTE = ("gap", 1 << 1)  # of the rule for "event.*"


@pytest.mark.parametrize("count_max", [*range(1, 20), 63, 64, 65, 127, 128, 129, 300])
@pytest.mark.parametrize("lost", [1, 5])
def test_past_its_count_a_gap_stands_in_the_place_of_what_is_missing(
    count_max: int, lost: int
) -> None:
    rig, handle = blocked("event.a", events_count_max=count_max)
    for value in range(count_max + lost):
        rig.publish("event.a", b"%d" % value)
    assert owed(rig, handle, "events") == count_max
    resumed(rig, handle)
    rig.publish("event.a", b"777")
    rig.flush()
    kept = [("event.a", value) for value in range(count_max)]
    assert rig.values(handle) == [*kept, GAP_NOTE, ("event.a", 777)]
    assert rig.total("dropped") == lost
    assert rig.total("gaps") == 1


@pytest.mark.parametrize("turns", [1, 2, 7, 8, 9])
@pytest.mark.parametrize("count_max", [1, 2, 7, 8, 9, 16])
def test_the_ring_turns_and_stays_in_order(count_max: int, turns: int) -> None:
    """Each time the socket takes one frame; its place is used again, wherever the ring begins."""
    rig = Rig(events_count_max=count_max)
    handle = rig.open("event.a")
    number = 0
    for _ in range(turns * count_max):
        while owed(rig, handle, "events") < count_max:
            rig.publish("event.a", b"%d" % number)
            number += 1
        rig.choke(handle)
        rig.flush()
        rig.wire.drain(handle & 0xFFFFFFFF)
        rig.choke(handle)
        rig.delivery.resume(handle)
        rig.core.check()
    resumed(rig, handle)
    assert rig.values(handle) == [("event.a", value) for value in range(number)]
    assert rig.total("dropped") == 0


@given(st.lists(st.integers(0, 300), min_size=1, max_size=30), st.integers(80, 600))
@settings(deadline=None)
def test_the_lane_never_holds_more_bytes_than_allowed(sizes: list[int], bytes_max: int) -> None:
    rig, handle = blocked("event.a", events_bytes_max=bytes_max)
    expected: list[tuple[str, object]] = []
    room = bytes_max
    for number, size in enumerate(sizes):
        payload = b'"%d%s"' % (number, b"x" * size)
        frame = len(Frame.publication("note", "event.a", number + 1, number, payload))
        if expected[-1:] != [GAP_NOTE] and frame <= room:
            room -= frame
            expected.append(("event.a", payload.decode().strip('"')))
        elif expected[-1:] != [GAP_NOTE]:
            expected.append(GAP_NOTE)
        rig.publish("event.a", payload)
        assert owed(rig, handle, "events_bytes") == bytes_max - room
    resumed(rig, handle)
    assert rig.values(handle) == expected


def test_an_event_that_alone_is_too_large_is_a_gap() -> None:
    rig = Rig(events_bytes_max=100)
    handle = rig.open("event.a")
    rig.publish("event.a", b'"%s"' % (b"x" * 200))
    rig.publish("event.a", b"2")
    rig.flush()
    rig.publish("event.a", b"3")
    rig.flush()
    assert rig.values(handle) == [GAP_NOTE, ("event.a", 3)]


def test_once_something_is_missing_nothing_overtakes_the_gap() -> None:
    """A small event would fit where a large one did not: it is dropped too."""
    rig, handle = blocked("event.a", events_bytes_max=200)
    rig.publish("event.a", b"1")
    rig.publish("event.a", b'"%s"' % (b"x" * 200))
    rig.publish("event.a", b"3")
    assert rig.total("dropped") == 2
    resumed(rig, handle)
    assert rig.values(handle) == [("event.a", 1), GAP_NOTE]


def test_a_gap_names_every_rule_that_lost_something() -> None:
    rig, handle = blocked(">", events_count_max=1)
    rig.publish("event.a")
    rig.publish("event.b")
    rig.delivery.announce_gap(text(gap_message(4)), 4)
    assert owed(rig, handle, "gapped") == 2 | 4
    resumed(rig, handle)
    assert rig.values(handle)[-1] == ("gap", 2 | 4)
    assert owed(rig, handle, "gapped") == 0


def test_a_gap_that_is_announced_stands_between_what_came_before_and_after() -> None:
    rig = Rig()
    handles = rig.open_many(3, "event.a")
    rig.publish("event.a", b"1")
    rig.delivery.announce_gap(text(gap_message(7)), 7)
    rig.publish("event.a", b"2")
    rig.flush()
    for handle in handles:
        assert rig.values(handle) == [("event.a", 1), ("gap", 7), ("event.a", 2)]


def test_a_gap_reaches_also_who_is_subscribed_to_nothing() -> None:
    rig = Rig()
    handle = rig.open()
    rig.delivery.announce_gap(text(gap_message(7)), 7)
    rig.flush()
    assert rig.values(handle) == [("gap", 7)]


def test_a_slow_connection_with_a_strict_rule_is_doomed_and_the_others_are_not() -> None:
    rig, slow = blocked("strict.a", events_count_max=2)
    quick = rig.open("strict.a")
    for value in range(5):
        rig.publish("strict.a", b"%d" % value)
        rig.flush()
    assert rig.delivery.take_doomed() == [(slow, "slow_consumer")]
    assert rig.delivery.take_doomed() == [], "once"
    assert rig.values(quick) == [("strict.a", value) for value in range(5)]
    rig.core.check()


@pytest.mark.parametrize("count", [0, -1, 32769, 1 << 20])
def test_the_ring_has_a_limit_of_its_own(count: int) -> None:
    with pytest.raises(ValueError, match="32768"):
        Rig(events_count_max=count)


def test_the_largest_ring_there_may_be() -> None:
    rig, handle = blocked("event.a", events_count_max=32768, events_bytes_max=1 << 30)
    for _ in range(32768 + 3):
        rig.publish("event.a")
    assert owed(rig, handle, "events") == 32768
    resumed(rig, handle)
    received = rig.publications(handle)
    assert [seq for _, seq, _ in received[:-1]] == list(range(1, 32769))
    assert received[-1][0] == "gap"
