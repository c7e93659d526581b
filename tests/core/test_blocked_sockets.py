"""Sockets that take no more, or break: nothing is lost, sent twice, or tried again."""

from __future__ import annotations

import pytest

from tests.core.rfc6455 import CLOSE
from tests.core.rig import Rig, slot_of, text
from wsgate.core.frame import Frame

# blocked connections


def test_nothing_is_sent_while_the_transport_holds_something() -> None:
    rig = Rig()
    handle = rig.open("event.a", "state.a")
    rig.delivery.block(handle)
    rig.publish("event.a")
    rig.publish("state.a")
    rig.delivery.reply(handle, text(b"{}"))
    rig.flush()
    rig.flush_replies()
    assert rig.wire.sends == []
    assert not rig.core.owes_publications
    assert rig.delivery.urgent_count == 0
    rig.delivery.resume(handle)
    assert rig.delivery.urgent_count == 1, "the reply has waited long enough"
    rig.flush_replies()
    assert len(rig.received(handle)) == 3


def test_a_transport_that_pauses_before_it_is_visited_is_not_visited() -> None:
    rig = Rig()
    handle = rig.open("event.a")
    rig.publish("event.a")
    rig.delivery.block(handle)
    rig.flush()
    assert rig.wire.sends == []
    rig.core.check()


def test_resuming_what_was_not_blocked_sends_nothing_twice() -> None:
    rig = Rig()
    handle = rig.open("event.a")
    rig.delivery.resume(handle)
    assert rig.delivery.dirty_count == 0
    rig.publish("event.a")
    rig.delivery.resume(handle)
    rig.flush()
    rig.delivery.resume(handle)
    rig.flush()
    assert len(rig.received(handle)) == 1


def test_a_socket_that_takes_exactly_everything_is_not_blocked() -> None:
    rig = Rig()
    handle = rig.open("event.a")
    rig.publish("event.a")
    rig.choke(handle, len(Frame.publication("note", "event.a", 1, 0, b"0")))
    rig.flush()
    assert not rig.delivery.is_blocked(handle)
    assert rig.wire.carried == []


def test_a_full_socket_makes_the_transport_wait_with_one_frame() -> None:
    """Somebody has to tell when there is room again: the transport does, for the first frame."""
    rig = Rig()
    handle = rig.open("event.a")
    for value in (b"1", b"2"):
        rig.publish("event.a", value)
    rig.choke(handle, 0)
    rig.flush()
    assert rig.wire.carried == [
        (slot_of(handle), bytes(Frame.publication("note", "event.a", 1, 0, b"1")))
    ]
    assert rig.delivery.is_blocked(handle)
    rig.resume(handle)
    rig.flush()
    assert [value for _, value in rig.values(handle)] == [1, 2]


@pytest.mark.parametrize("second_k", range(0, 200, 3))
def test_a_second_cut_after_the_first(second_k: int) -> None:
    rig = Rig()
    handle = rig.open("event.a")
    for value in range(5):
        rig.publish("event.a", b"%d" % value)
    rig.choke(handle, 30)
    rig.flush()
    rig.wire.drain(slot_of(handle))
    rig.choke(handle, second_k)
    rig.delivery.resume(handle)
    rig.flush()
    rig.resume(handle)
    rig.flush()
    assert [value for _, value in rig.values(handle)] == list(range(5))
    rig.core.check()


# doom


def test_a_broken_socket_is_reported_once_and_not_tried_again() -> None:
    rig = Rig()
    handle = rig.open("event.a", "state.a")
    for _ in range(3):
        rig.publish("event.a")
        rig.publish("state.a")
        rig.wire.cut_off(slot_of(handle))
        rig.flush()
        rig.delivery.reply(handle, text(b"{}"))
        rig.flush_replies()
    assert len(rig.wire.sends) == 1
    assert rig.delivery.take_doomed() == [(handle, "broken")]
    assert rig.delivery.take_doomed() == []
    assert rig.total("deliveries") == 0
    rig.core.check()


def test_the_doomed_are_found_although_they_left_meanwhile() -> None:
    """Their handles are stale then, and do nothing."""
    rig = Rig()
    handle = rig.open("event.a")
    rig.publish("event.a")
    rig.wire.cut_off(slot_of(handle))
    rig.flush()
    rig.core.release(handle)
    heir = rig.open("event.a")
    ((doomed, reason),) = rig.delivery.take_doomed()
    assert (doomed, reason) == (handle, "broken")
    rig.delivery.pardon(doomed)
    rig.delivery.end(doomed, Frame.close(1000), False)
    rig.publish("event.a")
    rig.flush()
    assert len(rig.received(heir)) == 1


def test_close_is_reported_when_it_is_written() -> None:
    rig = Rig()
    handle = rig.open()
    rig.delivery.end(handle, Frame.close(1000), True)
    assert rig.delivery.take_doomed() == []
    rig.flush_replies()
    assert [frame.opcode for frame in rig.frames(handle)] == [CLOSE]
    assert rig.delivery.take_doomed() == [(handle, "closed")]
