"""The outbox: three lanes, in which order they leave, and what may take whose place."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.rfc6455 import CLOSE, PONG, WireFrame
from tests.core.rig import Rig, blocked, gap_message, owed, resumed, text
from wsgate.core.frame import Frame

# order


def test_replies_come_first_then_events_then_state_then_close() -> None:
    rig = Rig()
    handle = rig.open("event.a", "state.a")
    rig.publish("state.a", b"1")
    rig.publish("event.a", b"2")
    rig.core.settle_all()
    rig.delivery.reply(handle, text(b'{"reply":1}'))
    rig.delivery.end(handle, Frame.close(1000), True)
    rig.flush()
    *messages, last = rig.frames(handle)
    assert [b'"reply"' in m.payload for m in messages] == [True, False, False]
    assert [b'"event.a"' in m.payload for m in messages] == [False, True, False]
    assert last == WireFrame(CLOSE, b"\x03\xe8")
    assert len(rig.wire.sends) == 1, "in one write"


def test_replies_keep_their_order() -> None:
    rig = Rig()
    handle = rig.open()
    replies = [b"%d" % n for n in range(300)]
    for reply in replies:
        rig.delivery.reply(handle, text(reply))
    rig.flush_replies()
    assert rig.received(handle) == replies


def test_state_leaves_in_the_order_in_which_it_began_to_be_owed() -> None:
    rig, handle = blocked("state.*")
    for name in ("state.c", "state.a", "state.b", "state.c"):
        rig.publish(name)
        rig.flush()
    resumed(rig, handle)
    assert [name for name, _ in rig.values(handle)] == ["state.c", "state.a", "state.b"]


# control


def test_few_pongs_are_owed_and_the_newest_is_among_them() -> None:
    rig, handle = blocked()
    rig.delivery.reply(handle, text(b"first"))
    for number in range(16):
        rig.delivery.reply(handle, Frame.pong(b"%d" % number))
    rig.delivery.reply(handle, text(b"last"))
    rig.delivery.reply(handle, Frame.pong(b"in the place of the last of them"))
    rig.delivery.reply(handle, Frame.pong(b""))
    assert owed(rig, handle, "control") == 18
    resumed(rig, handle)
    pongs = [WireFrame(PONG, b"%d" % number) for number in range(15)] + [WireFrame(PONG, b"")]
    assert rig.frames(handle)[1:-1] == pongs
    assert rig.received(handle)[-1] == b"last"


def test_only_the_newest_feed_is_owed() -> None:
    rig, handle = blocked()
    for state in (b"stale", b"live", b"stale"):
        rig.delivery.tell_all(Frame.feed(state))
    rig.delivery.reply(handle, Frame.pong(b"p"))
    assert owed(rig, handle, "control") == 2
    resumed(rig, handle)
    assert rig.received(handle) == [b"stale"]


def test_plain_replies_and_pings_do_not_replace_one_another() -> None:
    rig, handle = blocked()
    for _ in range(3):
        rig.delivery.reply(handle, text(b"same"))
        rig.delivery.reply(handle, Frame.ping())
    resumed(rig, handle)
    assert len(rig.frames(handle)) == 6


@pytest.mark.parametrize("room", range(1, 60))
def test_more_replies_than_allowed_doom_the_connection(room: int) -> None:
    size = len(Frame.text(b"0123456789"))
    rig, handle = blocked(control_bytes_max=room)
    fitting = room // size
    for _ in range(fitting):
        rig.delivery.reply(handle, text(b"0123456789"))
    assert rig.delivery.take_doomed() == []
    assert owed(rig, handle, "control") == fitting
    for _ in range(3):
        rig.delivery.reply(handle, text(b"0123456789"))
    assert rig.delivery.take_doomed() == [(handle, "slow_consumer")]
    assert owed(rig, handle, "control_bytes") <= room
    rig.core.check()


def test_a_pong_may_take_the_place_of_another_in_a_full_lane() -> None:
    rig, handle = blocked(control_bytes_max=20)
    rig.delivery.reply(handle, Frame.pong(b"x" * 18))
    rig.delivery.reply(handle, Frame.pong(b"y" * 18))
    assert rig.delivery.take_doomed() == []
    resumed(rig, handle)
    assert rig.frames(handle) == [WireFrame(PONG, b"y" * 18)]


def test_close_finds_room_in_a_full_lane() -> None:
    rig, handle = blocked(control_bytes_max=12)
    rig.delivery.reply(handle, text(b"0123456789"))
    rig.delivery.end(handle, Frame.close(1000, "a reason"), True)
    resumed(rig, handle)
    assert [frame.opcode for frame in rig.frames(handle)] == [1, CLOSE]


# endings


def test_nothing_is_taken_after_close() -> None:
    rig, handle = blocked("event.a", "state.a")
    rig.publish("event.a", b"1")
    rig.delivery.end(handle, Frame.close(1000), True)
    rig.publish("event.a", b"2")
    rig.publish("state.a", b"3")
    rig.delivery.reply(handle, text(b"reply"))
    rig.delivery.tell_all(Frame.feed(b"stale"))
    rig.delivery.announce_gap(text(gap_message(2)), 2)
    rig.delivery.end(handle, Frame.close(1001), False)
    rig.flush()
    resumed(rig, handle)
    assert [frame.opcode for frame in rig.frames(handle)] == [1, CLOSE]
    assert rig.frames(handle)[1].payload == b"\x03\xe8", "the first close stands"


def test_close_can_take_the_place_of_what_is_owed() -> None:
    rig, handle = blocked("event.a", "state.a")
    rig.publish("event.a")
    rig.publish("state.a")
    rig.flush()
    rig.delivery.reply(handle, text(b"reply"))
    rig.delivery.end(handle, Frame.close(1008), False)
    assert [owed(rig, handle, lane) for lane in ("control", "events", "states")] == [0, 0, 0]
    resumed(rig, handle)
    assert rig.frames(handle) == [WireFrame(CLOSE, b"\x03\xf0")]


def test_a_doomed_connection_can_still_be_told_why() -> None:
    rig, handle = blocked("strict.a", events_count_max=1)
    for _ in range(3):
        rig.publish("strict.a")
    assert rig.delivery.take_doomed() == [(handle, "slow_consumer")]
    rig.delivery.pardon(handle)
    rig.delivery.end(handle, Frame.close(4001, "slow_consumer"), False)
    resumed(rig, handle)
    assert rig.frames(handle) == [WireFrame(CLOSE, b"\x0f\xa1slow_consumer")]
    assert rig.delivery.take_doomed() == [(handle, "closed")]


# state


@pytest.mark.parametrize("channels", [1, 16, 17, 200])
def test_only_the_latest_value_of_each_channel_is_owed(channels: int) -> None:
    rig, handle = blocked("state.*")
    names = [f"state.{n}" for n in range(channels)]
    for value in range(5):
        for name in names:
            rig.publish(name, b"%d" % value)
        rig.flush()
    assert owed(rig, handle, "states") == channels
    assert rig.total("conflated") == 4 * channels
    resumed(rig, handle)
    assert rig.publications(handle) == [(name, 5, 4) for name in names]


def test_state_needs_no_room_among_events() -> None:
    rig, handle = blocked(">", events_count_max=1)
    for number in range(50):
        rig.publish(f"state.{number}")
        rig.publish("event.a")
    rig.flush()
    assert owed(rig, handle, "states") == 50
    assert rig.delivery.take_doomed() == []


# purging


def test_unsubscribing_drops_what_is_owed_for_the_channel_and_nothing_else() -> None:
    rig, handle = blocked("event.a", "event.b", "state.a", "state.b")
    for name in ("event.a", "event.b", "state.a", "state.b", "event.a"):
        rig.publish(name)
    rig.flush()
    rig.core.unsubscribe(handle, "event.a")
    rig.core.unsubscribe(handle, "state.a")
    assert rig.total("purged") == 3
    resumed(rig, handle)
    assert [name for name, _ in rig.values(handle)] == ["event.b", "state.b"]


def test_what_another_subscription_wants_stays_owed() -> None:
    rig, handle = blocked("event.a", "event.*", "state.a", ">")
    for name in ("event.a", "event.b", "state.a", "state.b"):
        rig.publish(name)
    rig.flush()
    rig.core.unsubscribe(handle, "event.*")
    rig.core.unsubscribe(handle, ">")
    resumed(rig, handle)
    assert [name for name, _ in rig.values(handle)] == ["event.a", "state.a"]


def test_a_gap_outlives_the_subscription_that_it_was_owed_for() -> None:
    """It says that something may be missing; that stays true."""
    rig, handle = blocked("event.a", events_count_max=3)
    rig.publish("event.a")
    rig.delivery.announce_gap(text(gap_message(7)), 7)
    rig.publish("event.a")
    rig.core.unsubscribe(handle, "event.a")
    resumed(rig, handle)
    assert rig.values(handle) == [("gap", 7)]


def test_what_was_purged_makes_room() -> None:
    rig, handle = blocked("event.a", "event.b", events_count_max=4)
    for _ in range(4):
        rig.publish("event.a")
    rig.core.unsubscribe(handle, "event.a")
    assert owed(rig, handle, "events_bytes") == 0
    for _ in range(4):
        rig.publish("event.b")
    assert rig.total("dropped") == 0
    resumed(rig, handle)
    assert len(rig.received(handle)) == 4


@given(st.lists(st.sampled_from(["event.a", "event.b", "event.c"]), max_size=40), st.integers(0, 9))
@settings(deadline=None)
def test_purging_keeps_the_order_wherever_the_ring_begins(names: list[str], turned: int) -> None:
    rig = Rig(events_count_max=64)
    handle = rig.open("event.a", "event.b", "event.c")
    for _ in range(turned):  # so that the ring does not begin at its first cell
        rig.publish("event.a")
        rig.publish("event.a")
        rig.choke(handle)
        rig.flush()
        rig.wire.drain(handle & 0xFFFFFFFF)
        rig.delivery.resume(handle)
    rig.delivery.block(handle)
    for name in names:
        rig.publish(name)
    rig.core.unsubscribe(handle, "event.a")
    rig.clear()
    resumed(rig, handle)
    assert [name for name, _ in rig.values(handle)] == [n for n in names if n != "event.a"]


@pytest.mark.parametrize("channels", [10, 17, 5000])
def test_a_pattern_that_ends_takes_all_its_values_along(channels: int) -> None:
    rig, handle = blocked("state.kept", channels_max=10_000)
    for number in range(channels):
        rig.publish(f"state.x.{number}")
    rig.publish("state.kept")
    rig.subscribe(handle, "state.x.*")
    rig.flush()
    assert owed(rig, handle, "states") == channels + 1
    rig.core.unsubscribe(handle, "state.x.*")
    resumed(rig, handle)
    assert [name for name, _ in rig.values(handle)] == ["state.kept"]
