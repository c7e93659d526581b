"""The rules the sink lives by, at every byte at which a socket may stop taking more.

One write carries a reply, two events and two values. For each k the socket takes k bytes of it and
the transport takes over the rest of the frame that was cut. Whatever k is, a user may rely on the
same things: whole frames, in order, nothing twice, nothing lost of events, the latest of state.
"""

from __future__ import annotations

import pytest

from tests.core.rfc6455 import CLOSE
from tests.core.rig import Rig, envelope, slot_of, text
from wsgate.core.frame import Frame

REPLY = b'{"type":"pong"}'
EVENTS = [envelope("event.a", 1, 0, b'"one"'), envelope("event.a", 2, 1, b'"two"')]
OLD = {"state.a": envelope("state.a", 1, 0, b"1"), "state.b": envelope("state.b", 1, 0, b"1")}
NEW = {"state.a": envelope("state.a", 2, 1, b"2"), "state.b": envelope("state.b", 2, 1, b"2")}


def owe_everything(rig: Rig) -> int:
    """A connection that is owed one reply, two events and two values."""
    handle = rig.open("event.a", "state.a", "state.b")
    rig.publish("event.a", b'"one"')
    rig.publish("event.a", b'"two"')
    rig.publish("state.a", b"1")
    rig.publish("state.b", b"1")
    rig.delivery.reply(handle, text(REPLY))
    return handle


def frame_ends() -> list[int]:
    """Where the frames of that write end."""
    rig = Rig()
    handle = owe_everything(rig)
    rig.flush()
    ends, at = [], 0
    for payload in rig.received(handle):
        at += len(bytes(Frame.text(payload)))
        ends.append(at)
    assert at == len(rig.stream(handle))
    assert len(rig.wire.sends) == 1, "everything owed leaves in one write"
    return ends


ENDS = frame_ends()
EVERY_K = range(ENDS[-1])


@pytest.mark.parametrize("k", EVERY_K)
def test_the_rest_of_the_cut_frame_and_nothing_more_goes_to_the_transport(k: int) -> None:
    rig = Rig()
    handle = owe_everything(rig)
    rig.choke(handle, k)
    rig.flush()
    cut_at = next(end for end in ENDS if end > k)
    assert [len(rest) for _, rest in rig.wire.carried] == [cut_at - k]
    assert rig.delivery.is_blocked(handle)
    rig.core.check()


@pytest.mark.parametrize("k", EVERY_K)
def test_what_stays_is_conflated_and_the_stream_is_whole(k: int) -> None:
    rig = Rig()
    handle = owe_everything(rig)
    rig.choke(handle, k)
    rig.flush()
    for channel in OLD:
        rig.publish(channel, b"2")
    rig.publish("event.a", b'"three"')
    rig.flush()
    assert len(rig.wire.sends) == 1, "nothing is sent while the transport holds a rest"
    rig.resume(handle)
    rig.flush()

    received = rig.received(handle)
    assert received[0] == REPLY
    notes = [payload for payload in received if b'"event.a"' in payload]
    assert notes == [*EVENTS, envelope("event.a", 3, 2, b'"three"')]
    for channel, old in OLD.items():
        values = [payload for payload in received if f'"{channel}"'.encode() in payload]
        assert values in ([NEW[channel]], [old, NEW[channel]])
        sent_before = values == [old, NEW[channel]]
        assert sent_before == (old in received), "an old value is there only if it was on its way"
    assert not rig.delivery.is_blocked(handle)
    rig.core.check()


@pytest.mark.parametrize("k", EVERY_K)
def test_a_transport_that_passes_the_rest_on_at_once_does_not_block(k: int) -> None:
    rig = Rig()
    handle = owe_everything(rig)
    rig.wire.accept(slot_of(handle), k, "passes")
    rig.flush()
    assert rig.received(handle) == [REPLY, *EVENTS, *OLD.values()]
    assert not rig.delivery.is_blocked(handle)
    rig.core.check()


@pytest.mark.parametrize("k", EVERY_K)
def test_close_comes_after_everything_and_is_the_last_thing_sent(k: int) -> None:
    rig = Rig()
    handle = owe_everything(rig)
    rig.core.settle_all()
    rig.delivery.end(handle, Frame.close(1012, "service_restart"), True)
    rig.choke(handle, k)
    rig.flush()
    rig.publish("event.a", b'"too late"')
    rig.delivery.reply(handle, text(b'{"type":"pong","id":"too late"}'))
    rig.resume(handle)
    rig.flush()
    frames = rig.frames(handle)
    assert [frame.payload for frame in frames[:-1]] == [REPLY, *EVENTS, *OLD.values()]
    assert frames[-1].opcode == CLOSE
    assert rig.delivery.take_doomed() == [(handle, "closed")]
    rig.core.check()


@pytest.mark.parametrize("k", EVERY_K)
def test_an_unsubscribed_channel_is_not_heard_of_after_the_reply(k: int) -> None:
    rig = Rig()
    handle = owe_everything(rig)
    rig.choke(handle, k)
    rig.flush()
    for channel in ("event.a", "state.a", "state.b"):
        rig.core.unsubscribe(handle, channel)
    unsubscribed = b'{"type":"unsubscribed"}'
    rig.delivery.reply(handle, text(unsubscribed))
    rig.resume(handle)
    rig.flush()
    assert rig.received(handle)[-1] == unsubscribed
    rig.core.check()


@pytest.mark.parametrize("k", EVERY_K)
def test_a_connection_that_breaks_at_any_byte_is_reported_once_and_left_alone(k: int) -> None:
    rig = Rig()
    handle = owe_everything(rig)
    rig.wire.accept(slot_of(handle), k, "breaks")
    rig.flush()
    rig.publish("event.a", b'"three"')
    rig.flush()
    assert len(rig.wire.sends) == 1
    assert rig.delivery.take_doomed() == [(handle, "broken")]
    assert rig.delivery.take_doomed() == []
    rig.core.release(handle)
    rig.core.check()


@pytest.mark.parametrize("k", EVERY_K)
def test_a_slot_freed_while_blocked_is_never_written_to_for_its_old_owner(k: int) -> None:
    rig = Rig()
    handle = owe_everything(rig)
    rig.choke(handle, k)
    rig.flush()
    rig.core.release(handle)
    successor = rig.open("state.b")
    assert slot_of(successor) == slot_of(handle)
    rig.delivery.resume(handle)  # stale: the handle's connection is gone
    rig.publish("event.a", b'"three"')
    rig.flush()
    assert rig.received(successor) == [OLD["state.b"]]
    rig.core.check()


@pytest.mark.parametrize("visits", range(1, 9))
def test_a_slot_freed_between_two_slices_is_not_visited(visits: int) -> None:
    rig = Rig()
    handles = rig.open_many(10, "event.a")
    rig.publish("event.a", b'"one"')
    rig.core.flush(1, visits)
    served = {slot for slot, _ in rig.wire.sends}
    assert len(served) == visits
    for handle in handles:
        if slot_of(handle) not in served:
            rig.core.release(handle)
    rig.core.check()
    rig.flush()
    assert {slot for slot, _ in rig.wire.sends} == served
    rig.core.check()


@pytest.mark.parametrize("visits", range(1, 9))
def test_what_is_published_between_two_slices_reaches_everybody_in_order(visits: int) -> None:
    rig = Rig()
    handles = rig.open_many(10, "event.a")
    rig.publish("event.a", b'"one"')
    rig.core.flush(1, visits)
    rig.publish("event.a", b'"two"')
    rig.flush()
    rig.flush()
    for handle in handles:
        assert rig.received(handle) == EVENTS
