"""The index: who is subscribed to what, whatever comes and goes in whatever order."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.rig import Rig, slot_of

NAMES = [f"event.{n}" for n in range(8)] + ["event.*", "event.>", "*.1"]

changes = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(NAMES), st.sampled_from([True, False, False])),
    max_size=150,
)


def subscribers_of(rig: Rig, name: str) -> set[int]:
    return {int(slot) for slot in rig.core.index.subscribers_of(name)}


@given(changes)
@settings(deadline=None, max_examples=200)
def test_both_sides_agree_with_a_set_of_pairs(changes: list[tuple[int, str, bool]]) -> None:
    """Two thirds of the operations end subscriptions, many of them of what was never begun."""
    rig = Rig()
    handles = rig.open_many(6)
    pairs: set[tuple[int, str]] = set()
    for place, name, begins in changes:
        handle = handles[place]
        if begins:
            rig.subscribe(handle, name)
            pairs.add((handle, name))
        else:
            assert rig.core.unsubscribe(handle, name) == ((handle, name) in pairs)
            pairs.discard((handle, name))
        rig.core.check()
        assert rig.core.index.subscriptions == len(pairs)
        assert subscribers_of(rig, name) == {slot_of(h) for h, n in pairs if n == name}
        assert set(rig.core.index.topics_of(slot_of(handle))) == {
            n for h, n in pairs if h == handle
        }
        assert rig.core.subscription_count(handle) == sum(h == handle for h, _ in pairs)


@pytest.mark.parametrize("order", ["first in first out", "last in first out", "any"])
def test_a_crowd_that_leaves(order: str) -> None:
    """Arrays shrink while they empty: whoever is left is still found, at every size."""
    rig = Rig()
    crowd = rig.open_many(600, "event.1")
    leaving = {
        "first in first out": list(crowd),
        "last in first out": crowd[::-1],
        "any": Random(7).sample(crowd, len(crowd)),
    }[order]
    there = set(crowd)
    for number, handle in enumerate(leaving):
        assert rig.core.unsubscribe(handle, "event.1")
        there.remove(handle)
        if number % 50 == 0:
            rig.core.check()
            rig.clear()
            rig.publish("event.1")
            rig.flush()
            assert {handle for handle in crowd if rig.received(handle)} == there
    assert not rig.publish("event.1")


def test_a_connection_that_goes_takes_all_its_subscriptions_along() -> None:
    rig = Rig()
    goes = rig.open(*NAMES)
    stays = rig.open(*NAMES)
    rig.core.release(goes)
    rig.core.check()
    assert rig.core.index.subscriptions == len(NAMES)
    assert all(subscribers_of(rig, name) == {slot_of(stays)} for name in NAMES)


def test_who_comes_next_into_the_slot_has_no_subscriptions() -> None:
    rig = Rig()
    rig.core.release(rig.open("event.1", "event.*"))
    newcomer = rig.open()
    assert rig.core.subscription_count(newcomer) == 0
    assert not rig.publish("event.1")


def test_subscribing_twice_is_subscribing_once() -> None:
    rig = Rig()
    handle = rig.open("event.1", "event.1", "event.*", "event.*")
    assert rig.core.subscription_count(handle) == 2
    assert rig.core.unsubscribe(handle, "event.1")
    assert not rig.core.is_subscribed(handle, "event.1")


def test_a_pattern_is_not_its_channels() -> None:
    """Ending one of its channels leaves the pattern, and the other way round."""
    rig = Rig()
    handle = rig.open("event.1", "event.*")
    assert not rig.core.unsubscribe(handle, "event.2")
    assert rig.core.unsubscribe(handle, "event.*")
    assert rig.core.is_subscribed(handle, "event.1")


def test_patterns_are_never_expanded_into_channels() -> None:
    rig = Rig()
    rig.open("event.*", "event.>", ">")
    assert rig.core.channels.count == 0
    assert rig.core.index.subscriptions == 3


def test_a_channel_that_appears_later_is_matched() -> None:
    rig = Rig()
    handle = rig.open("event.*")
    assert rig.publish("event.new", b"1")
    rig.flush()
    assert rig.values(handle) == [("event.new", 1)]


def test_a_channel_learns_of_patterns_that_come_and_go() -> None:
    """It remembers which patterns match it: that must not get old."""
    rig = Rig()
    handle = rig.open()
    rig.publish("event.1")
    for _ in range(3):
        rig.subscribe(handle, "event.*")
        assert rig.publish("event.1")
        rig.core.unsubscribe(handle, "event.*")
        assert not rig.publish("event.1")


def test_nobody_is_subscribed_to_what_is_not_known() -> None:
    rig = Rig()
    handle = rig.open()
    assert subscribers_of(rig, "event.1") == set()
    assert not rig.core.is_subscribed(handle, "event.1")
    assert rig.core.find_channel("event.1") is None
    assert rig.core.index.topics_of(12345) == []


def test_a_pattern_is_not_found_as_a_channel() -> None:
    """A backend may publish to a subject with a wildcard in it: that must not reach the pattern."""
    rig = Rig()
    handle = rig.open("event.*", "state.>")
    assert rig.core.find_channel("event.*") is None
    with pytest.raises(ValueError, match="both a channel and a pattern"):
        rig.core.open_channel("event.*", 0)
    with pytest.raises(ValueError, match="both a channel and a pattern"):
        rig.core.subscribe(handle, "state.>", 0)
    rig.core.check()


def test_a_channel_is_not_subscribed_to_as_a_pattern() -> None:
    rig = Rig()
    handle = rig.open("event.1")
    with pytest.raises(ValueError, match="both a channel and a pattern"):
        rig.core.subscribe_pattern(handle, "event.1")
    rig.core.check()
