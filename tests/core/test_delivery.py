"""Delivery: one write for each connection, and what leaves before its turn."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.core.rig import ALL, Rig, slot_of, text, written_to
from wsgate.core.frame import Frame
from wsgate.core.sink import PythonSink, Sink

BATCH_FRAMES_MAX = 128
BATCH_BYTES_MAX = 65536


# one write for each connection


def test_everything_owed_goes_in_one_write() -> None:
    rig = Rig()
    handles = rig.open_many(5, "event.a", "state.a")
    for _ in range(10):
        rig.publish("event.a")
        rig.publish("state.a")
    rig.flush()
    assert Counter(written_to(rig)) == {slot_of(handle): 1 for handle in handles}


def test_who_is_owed_nothing_is_not_visited() -> None:
    rig = Rig()
    rig.open_many(5, "event.a")
    one = rig.open("event.b")
    rig.publish("event.b")
    rig.flush()
    assert written_to(rig) == [slot_of(one)]
    assert rig.delivery.dirty_count == 0


def test_a_flush_without_work_does_nothing() -> None:
    rig = Rig()
    assert not rig.core.flush(0, ALL)
    rig.open("event.a")
    assert not rig.core.flush(0, ALL)
    assert not rig.delivery.flush_urgent(ALL)
    assert not rig.core.owes_publications
    assert rig.wire.sends == []


@pytest.mark.parametrize("count", [1, 127, 128, 129, 256, 300, 512])
def test_many_small_frames_go_in_as_few_writes_as_their_number_allows(count: int) -> None:
    rig = Rig()
    handle = rig.open("event.a")
    for _ in range(count):
        rig.publish("event.a")
    rig.flush()
    assert len(rig.wire.sends) == -(-count // BATCH_FRAMES_MAX)
    assert [seq for _, seq, _ in rig.publications(handle)] == list(range(1, count + 1))


def test_large_frames_go_in_writes_that_the_kernel_can_take() -> None:
    rig = Rig(events_bytes_max=1 << 24)
    handle = rig.open("event.a")
    for _ in range(40):
        rig.publish("event.a", b'"%s"' % (b"x" * 10_000))
    rig.flush_all()
    assert all(len(offered) < BATCH_BYTES_MAX + 11_000 for _, offered in rig.wire.sends)
    assert len(rig.publications(handle)) == 40


def test_who_is_owed_very_much_does_not_keep_the_others_waiting() -> None:
    rig = Rig()
    greedy = rig.open("event.a")
    modest = rig.open("event.b")
    for _ in range(2000):
        rig.publish("event.a")
    rig.publish("event.b")
    rig.flush()
    assert len(rig.received(modest)) == 1
    first_round = len(rig.received(greedy))
    assert first_round < 2000
    assert rig.core.owes_publications
    rig.flush_all()
    assert [seq for _, seq, _ in rig.publications(greedy)] == list(range(1, 2001))


def test_the_sink_must_be_one() -> None:
    rig = Rig()
    with pytest.raises(TypeError):
        type(rig.core)(object(), [("t", "state", "gap")], bytes, **_limits())  # type: ignore[arg-type]
    abstract = type(rig.core)(Sink(), [("t", "event", "gap")], bytes, **_limits())
    abstract.subscribe(abstract.open(), "a", 0)
    abstract.publish(abstract.open_channel("a", 0), b"1")
    with pytest.raises(TypeError, match="must implement send"):
        abstract.flush(0, 1)
    unfinished = type(rig.core)(PythonSink(), [("t", "event", "gap")], bytes, **_limits())
    unfinished.delivery.reply(unfinished.open(), text(b"1"))
    with pytest.raises(NotImplementedError):
        unfinished.delivery.flush_urgent(1)


def _limits() -> dict[str, int]:
    return {
        "channels_max": 1,
        "events_bytes_max": 1000,
        "events_count_max": 1,
        "control_bytes_max": 1000,
    }


# windows and replies


def test_a_reply_leaves_while_publications_wait_for_the_window() -> None:
    rig = Rig()
    asking, waiting = rig.open_many(2, "event.a")
    rig.publish("event.a")
    rig.delivery.reply(asking, text(b"{}"))
    assert rig.delivery.urgent_count == 1
    assert not rig.delivery.flush_urgent(ALL)
    assert written_to(rig) == [slot_of(asking)]
    assert rig.received(asking)[0] == b"{}"
    assert rig.received(waiting) == []
    assert rig.core.owes_publications


def test_a_last_value_leaves_with_its_reply() -> None:
    rig = Rig()
    rig.publish("state.a", b"1")
    handle = rig.open("state.a")
    rig.delivery.reply(handle, text(b"{}"))
    rig.flush_replies()
    assert len(rig.received(handle)) == 2
    assert len(rig.wire.sends) == 1
    assert not rig.core.owes_publications


def test_who_is_in_a_hurry_does_not_wait_for_the_window() -> None:
    rig = Rig()
    handle, other = rig.open_many(2, "event.a")
    rig.delivery.hurry(handle)
    assert rig.delivery.urgent_count == 0, "it is owed nothing"
    rig.publish("event.a")
    rig.delivery.hurry(handle)
    rig.flush_replies()
    assert written_to(rig) == [slot_of(handle)]
    assert rig.received(other) == []


@pytest.mark.parametrize("visits", [1, 3, 70])
def test_urgent_visits_come_in_slices_too(visits: int) -> None:
    rig = Rig()
    handles = rig.open_many(70)
    for handle in handles:
        rig.delivery.reply(handle, text(b"{}"))
    slices = 1
    while rig.delivery.flush_urgent(visits):
        slices += 1
    assert slices == -(-70 // visits)
    assert sorted(written_to(rig)) == list(range(70))
    assert rig.delivery.dirty_count == 0


def test_who_asks_all_the_time_does_not_keep_others_from_their_replies() -> None:
    rig = Rig()
    handles = rig.open_many(12)
    for handle in handles:
        rig.delivery.reply(handle, text(b"{}"))
    for _ in range(4):
        rig.delivery.flush_urgent(3)
        for handle in handles[:3]:
            rig.delivery.reply(handle, text(b"{}"))
    assert all(rig.received(handle) for handle in handles)


def test_more_replies_than_go_into_a_visits_writes_all_leave_at_once() -> None:
    rig = Rig()
    handle = rig.open("event.a")
    replies = [b"%d" % number for number in range(2000)]
    for reply in replies:
        rig.delivery.reply(handle, text(reply))
    assert not rig.delivery.flush_urgent(ALL)
    assert rig.received(handle) == replies


def test_a_flush_takes_replies_along() -> None:
    rig = Rig()
    handle = rig.open()
    rig.delivery.reply(handle, text(b"{}"))
    rig.flush()
    assert rig.received(handle) == [b"{}"]
    assert rig.delivery.urgent_count == 0


def test_a_feed_does_not_wait_for_the_next_round() -> None:
    rig = Rig()
    handles = rig.open_many(3)
    rig.delivery.tell_all(Frame.feed(b"stale"))
    assert rig.delivery.urgent_count == 3
    rig.flush_replies()
    assert all(rig.received(handle) == [b"stale"] for handle in handles)


# reports


def test_the_backlog_is_the_sum_of_what_is_owed() -> None:
    rig = Rig()
    handles = rig.open_many(3, "event.a", "state.a", "state.b")
    for handle in handles[:2]:
        rig.delivery.block(handle)
    for name in ("event.a", "state.a", "state.b"):
        rig.publish(name)
    rig.core.release(handles[0])
    rig.flush()
    size = len(Frame.publication("note", "event.a", 1, 0, b"0"))
    assert rig.delivery.backlog() == {
        "events_bytes": size,
        "events": 1,
        "states": 2,
        "blocked_connections": 1,
        "paused_connections": 0,
    }


def test_totals_say_what_was_written() -> None:
    rig = Rig()
    handle = rig.open("event.a")
    rig.publish("event.a")
    rig.delivery.reply(handle, text(b"{}"))
    rig.flush()
    totals = rig.core.counters.snapshot()
    assert totals["writes"] == 1
    assert totals["deliveries"] == 1
    assert totals["replies"] == 1
    assert totals["written_bytes"] == len(rig.stream(handle))
    assert totals["blocked"] == 0


def test_a_paused_connection_gets_replies_only_and_then_what_waited() -> None:
    rig = Rig()
    handle = rig.open("event.a", "state.a")
    rig.delivery.pause(handle)
    for number in range(3):
        rig.publish("event.a", b"%d" % number)
        rig.publish("state.a", b"%d" % number)
        rig.flush()
    assert rig.frames(handle) == []
    assert rig.total("writes") == 0
    rig.delivery.reply(handle, text(b'"pong"'))
    rig.flush_replies()
    assert rig.received(handle) == [b'"pong"']
    assert not rig.core.owes_publications, "nothing to do for it"
    rig.delivery.unpause(handle)
    rig.clear()
    rig.flush()
    assert rig.values(handle) == [
        ("event.a", 0), ("event.a", 1), ("event.a", 2), ("state.a", 2),
    ]  # fmt: skip
    assert rig.total("writes") == 2
    rig.core.check()


def test_a_paused_connection_that_ends_gets_what_it_is_owed_first() -> None:
    rig = Rig()
    handle = rig.open("event.a")
    rig.delivery.pause(handle)
    rig.publish("event.a", b"1")
    rig.flush()
    rig.delivery.end(handle, Frame.close(1012, "bye"), True)
    rig.flush_replies()
    assert [frame.opcode for frame in rig.frames(handle)] == [1, 8]


def test_a_state_that_only_paused_connections_want_is_not_encoded() -> None:
    rig = Rig()
    handle = rig.open("state.a")
    rig.delivery.pause(handle)
    for number in range(10):
        rig.publish("state.a", b"%d" % number)
        rig.flush()
    assert rig.total("frames_encoded") == 0
    rig.delivery.unpause(handle)
    rig.flush()
    assert rig.total("frames_encoded") == 1
