"""Handles: one connection's for ever, whoever has its slot later."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.rig import Rig, slot_of, text


@given(st.lists(st.integers(0, 20), max_size=100))
@settings(deadline=None)
def test_handles_are_never_given_twice(choices: list[int]) -> None:
    rig = Rig()
    ever: set[int] = set()
    there: list[int] = []
    for choice in choices:
        if there and choice % 3 == 0:
            gone = there.pop(choice % len(there))
            assert rig.core.release(gone)
            assert not rig.core.release(gone)
        else:
            handle = rig.core.open()
            assert handle > 0
            assert handle not in ever
            ever.add(handle)
            there.append(handle)
        assert rig.delivery.slots.count == len(there)
        assert len({slot_of(handle) for handle in there}) == len(there)


def test_slots_are_dense() -> None:
    """Those given back come first, so that arrays stay as short as the peak."""
    rig = Rig()
    handles = rig.open_many(100)
    for handle in handles[10:60]:
        rig.core.release(handle)
    assert {slot_of(handle) for handle in rig.open_many(50)} == set(range(10, 60))
    assert rig.delivery.slots.limit == 100


def test_the_slot_freed_last_is_given_first() -> None:
    rig = Rig()
    handles = rig.open_many(3)
    rig.core.release(handles[2])
    rig.core.release(handles[0])
    assert slot_of(rig.open()) == slot_of(handles[0])


def test_a_stale_handle_does_nothing_to_who_has_the_slot_now() -> None:
    rig = Rig()
    stale = rig.open("event.1")
    rig.core.release(stale)
    heir = rig.open("event.1")
    assert slot_of(heir) == slot_of(stale)
    rig.publish("event.1")
    rig.delivery.reply(stale, text(b"not for you"))
    rig.delivery.block(stale)
    rig.delivery.hurry(stale)
    assert rig.delivery.urgent_count == 0
    rig.flush()
    assert len(rig.received(heir)) == 1
    assert rig.delivery.owed(stale) is None


def test_subscribing_through_a_stale_handle_is_an_error() -> None:
    rig = Rig()
    stale = rig.open()
    rig.core.release(stale)
    heir = rig.open("event.1", "event.*")
    for operate in (
        lambda: rig.subscribe(stale, "event.1"),
        lambda: rig.subscribe(stale, "event.*"),
        lambda: rig.core.unsubscribe(stale, "event.1"),
    ):
        with pytest.raises(KeyError, match="gone"):
            operate()
    assert rig.core.subscription_count(heir) == 2
    assert not rig.core.is_subscribed(stale, "event.1")


def test_a_stale_handle_has_no_timers() -> None:
    rig = Rig()
    handle = rig.open()
    rig.core.schedule(handle, 1, 50)
    rig.core.release(handle)
    heir = rig.open()
    rig.core.schedule(handle, 1, 50)
    assert rig.later(1000) == []
    rig.core.schedule(heir, 1, 1500)
    assert rig.later(1000) == [(heir, 1)]
