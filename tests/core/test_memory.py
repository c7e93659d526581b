"""What the core holds, and that it gives all of it back."""

from __future__ import annotations

import gc

import pytest

from tests.core.rig import ALL, Rig, text
from wsgate.core.counters import Counters, live_objects
from wsgate.core.frame import Frame

EVERYTHING = ("event.a", "event.*", "state.a", "state.*", "strict.a")


@pytest.fixture
def before() -> dict[str, int]:
    gc.collect()
    return live_objects()


def busy_core() -> Rig:
    """Everything that can hold memory holds some."""
    rig = Rig(events_count_max=100)
    handles = rig.open_many(20, *EVERYTHING)
    for handle in handles[10:]:
        rig.subscribe(handle, "state.*", 100)
        rig.delivery.block(handle)
    rig.later()
    for number in range(150):
        rig.publish("event.a")
        rig.publish(f"state.{number}")
    rig.core.flush(rig.now_ms, 5)
    for handle in handles:
        rig.delivery.reply(handle, text(b"{}"))
    for handle in handles[::3]:
        rig.delivery.end(handle, Frame.close(1000), True)
    return rig


def test_a_core_that_is_dropped_in_the_middle_of_its_work_gives_all_back(
    before: dict[str, int],
) -> None:
    rig = busy_core()
    now = live_objects()
    assert now["frames"] > before["frames"]
    assert now["blocks"] > before["blocks"]
    del rig
    gc.collect()
    assert live_objects() == before


def test_a_core_in_a_cycle_gives_all_back(before: dict[str, int]) -> None:
    rig = busy_core()
    rig.wire.owner = rig  # type: ignore[attr-defined]
    del rig
    gc.collect()
    assert live_objects() == before


def test_connections_that_go_give_back_what_was_theirs(before: dict[str, int]) -> None:
    rig = Rig()
    for round in range(3):
        handles = rig.open_many(50, *EVERYTHING)
        for handle in handles:
            rig.subscribe(handle, "state.*", 100)
            rig.delivery.block(handle)
            rig.delivery.reply(handle, text(b"{}"))
        for _ in range(20):
            rig.publish("event.a")
            rig.publish("state.a")
            rig.core.flush(0, ALL)
        for handle in handles:
            rig.core.release(handle)
        rig.core.check()
        if round == 0:
            held = live_objects()
        assert live_objects() == held, "no round leaves more than the one before"
    assert held["frames"] <= before["frames"] + 1, "at most the last value"


def test_a_frame_is_freed_with_the_last_connection_that_is_owed_it(
    before: dict[str, int],
) -> None:
    rig = Rig()
    handles = rig.open_many(3, "event.a")
    rig.publish("event.a")
    assert live_objects()["frames"] == before["frames"] + 1
    rig.core.flush(0, 2)
    assert live_objects()["frames"] == before["frames"] + 1
    rig.core.flush(0, ALL)
    assert live_objects()["frames"] == before["frames"]
    assert all(len(rig.received(handle)) == 1 for handle in handles)


def test_an_event_that_was_dropped_for_all_is_freed(before: dict[str, int]) -> None:
    rig = Rig(events_bytes_max=10)
    rig.open("event.a")
    rig.publish("event.a")
    assert live_objects()["frames"] == before["frames"]


def test_a_backlog_that_is_gone_leaves_no_large_arrays() -> None:
    """A quiet connection costs little, however much it was owed once."""
    rig = Rig()
    handle = rig.open("event.a", "state.*")
    for number in range(900):
        rig.publish(f"state.{number}")
        rig.flush()
    rig.publish("event.a")
    rig.flush()
    quiet = live_objects()["blocks"]
    rig.delivery.block(handle)
    for number in range(900):
        rig.publish("event.a")
        rig.publish(f"state.{number}")
    rig.flush()
    rig.resume(handle)
    rig.flush_all()
    assert live_objects()["blocks"] < quiet, "the small arrays are made anew when they are needed"


def test_a_channel_that_is_forgotten_takes_its_value_along(before: dict[str, int]) -> None:
    rig = Rig(channels_max=1)
    for number in range(10):
        handle = rig.open(f"state.{number}")
        rig.publish(f"state.{number}")
        rig.flush()
        rig.core.release(handle)
    assert live_objects()["frames"] == before["frames"] + 1


def test_totals_of_nothing_are_zero() -> None:
    totals = Counters().snapshot()
    assert set(totals.values()) == {0}
    totals["publications"] = 5
    assert Counters().snapshot()["publications"] == 0
