"""Rounds: a flush in slices visits everybody once, and nobody is always last."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.core.rig import ALL, LIMITS, Rig, slot_of, written_to
from wsgate.core.fanout import Fanout
from wsgate.core.sink import PythonSink


@pytest.mark.parametrize("connections", [1, 2, 63, 64, 65, 130])
@pytest.mark.parametrize("visits", [1, 7, 64, 1000])
def test_slices_of_any_size_visit_each_once_in_slot_order(connections: int, visits: int) -> None:
    rig = Rig()
    handles = rig.open_many(connections, "event.a")
    for _ in range(3):
        rig.clear()
        rig.publish("event.a")
        slices = 0
        while rig.core.flush(0, visits):
            slices += 1
            assert len(rig.wire.sends) == min(slices * visits, connections)
        slots = written_to(rig)
        assert sorted(slots) == sorted(slot_of(handle) for handle in handles)
        start = slots.index(0)
        assert slots[start:] + slots[:start] == sorted(slots), "in slot order, from somewhere"


class Undisturbed(PythonSink):
    """A sink that takes everything, and is awaited from its ``free``-th look on."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.looks = 0
        self.sends = 0

    def on_send(self, slot: int, parts: list[bytes]) -> int:
        self.sends += 1
        return sum(map(len, parts))

    def on_awaited(self) -> bool:
        self.looks += 1
        return self.looks > self.free


@pytest.mark.parametrize(
    ("more", "free", "sends"),
    [
        pytest.param(0, 100, 100, id="no more is allowed"),
        pytest.param(1000, 0, 100, id="something waits already"),
        pytest.param(1000, 3, 100 + 3 * 64, id="something comes"),
        pytest.param(70, 100, 170, id="more is bounded"),
        pytest.param(10_000, 100, 500, id="all is done"),
    ],
)
def test_a_slice_goes_on_while_nothing_else_waits(more: int, free: int, sends: int) -> None:
    sink = Undisturbed(free)
    core = Fanout(sink, [("note", "event", "gap")], bytes, **LIMITS)
    for _ in range(500):
        core.subscribe(core.open(), "a", 0)
    core.publish(core.open_channel("a", 0), b"1")
    assert core.flush(0, 100, more) == (sends < 500)
    assert sink.sends == core.delivery.visited == sends
    while core.flush(0, 100, more):
        pass
    assert sink.sends == 500


@pytest.mark.parametrize("connections", [2, 3, 4, 8, 10, 16, 100])
def test_nobody_is_always_last(connections: int) -> None:
    rig = Rig()
    rig.open_many(connections, "event.a")
    firsts: Counter[int] = Counter()
    lasts: Counter[int] = Counter()
    rounds = 20 * connections
    for _ in range(rounds):
        rig.clear()
        rig.publish("event.a")
        rig.flush()
        firsts[written_to(rig)[0]] += 1
        lasts[written_to(rig)[-1]] += 1
    for ends in (firsts, lasts):
        assert set(ends) == set(range(connections))
        assert max(ends.values()) <= 25, "evenly: 20 times each, or about"


def test_what_is_published_between_slices_goes_along_if_its_slot_is_still_ahead() -> None:
    rig = Rig()
    handles = rig.open_many(10, "event.a")
    rig.publish("event.a", b"1")
    assert rig.core.flush(0, 5)
    visited = set(written_to(rig))
    rig.publish("event.a", b"2")
    assert not rig.core.flush(0, ALL)
    for handle in handles:
        expected = [1] if slot_of(handle) in visited else [1, 2]
        assert [value for _, value in rig.values(handle)] == expected
    assert rig.delivery.dirty_count == 5, "the others wait for the next round"
    rig.flush()
    assert all([value for _, value in rig.values(handle)] == [1, 2] for handle in handles)


def test_state_published_between_slices_is_the_latest_for_those_ahead() -> None:
    rig = Rig()
    handles = rig.open_many(10, "state.a")
    rig.publish("state.a", b"1")
    assert rig.core.flush(0, 5)
    visited = set(written_to(rig))
    rig.publish("state.a", b"2")
    rig.flush()
    rig.flush()
    for handle in handles:
        expected = [1, 2] if slot_of(handle) in visited else [2]
        assert [value for _, value in rig.values(handle)] == expected


def test_a_slice_counts_spreading_too() -> None:
    """Putting a channel into very many outboxes is work: it does not all happen in one slice."""
    rig = Rig()
    rig.open_many(300, "state.*")
    for number in range(100):
        rig.publish(f"state.{number}")
    slices = 1
    while rig.core.flush(0, 10):
        slices += 1
        assert slices < 10_000
    assert slices >= 100 * 300 // (128 * 10)
    assert rig.total("deliveries") == 300 * 100


def test_many_channels_that_few_want_are_spread_in_slices_too() -> None:
    rig = Rig(channels_max=10_000)
    rig.open("state.*")
    for number in range(5000):
        rig.publish(f"state.{number}")
    assert rig.core.flush(0, 10)
    assert rig.wire.sends == [], "the slice was over before anybody was visited"
    while rig.core.owes_publications:
        rig.core.flush(0, 10)
    assert rig.total("deliveries") == 5000


def test_a_slot_that_changes_hands_between_slices_is_the_new_owners() -> None:
    rig = Rig()
    handles = rig.open_many(10, "event.a")
    rig.publish("event.a", b'"old"')
    rig.core.flush(0, 3)
    leaving = [handle for handle in handles if slot_of(handle) not in written_to(rig)]
    for handle in leaving:
        rig.core.release(handle)
        assert rig.delivery.owed(handle) is None
    assert rig.delivery.dirty_count == 0
    heirs = [rig.open("event.a") for _ in leaving]
    rig.publish("event.a", b'"new"')
    rig.flush()
    rig.flush()
    for heir in heirs:
        assert rig.values(heir) == [("event.a", "new")]
    rig.core.check()


def test_who_comes_during_a_round_can_be_visited_in_it() -> None:
    rig = Rig()
    rig.open_many(3, "event.a")
    rig.publish("event.a")
    rig.core.flush(0, 1)
    late = rig.open_many(100, "event.a")
    rig.publish("event.a", b"2")
    rig.flush()
    rig.flush()
    assert all(rig.values(handle) == [("event.a", 2)] for handle in late)
