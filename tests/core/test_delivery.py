"""Delivery: who is visited, when, and how often; and how a write is cut into frames."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.core.rfc6455 import CLOSE
from tests.core.rig import ALL, LIMITS, Rig, slot_of, text
from wsgate.core.fanout import Fanout
from wsgate.core.frame import Frame
from wsgate.core.sink import PythonSink, Sink

BATCH_FRAMES_MAX = 128
BATCH_BYTES_MAX = 65536


def written_to(rig: Rig) -> list[int]:
    """The slots that were written to, in order."""
    return [slot for slot, _ in rig.wire.sends]


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


# rounds and slices


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
