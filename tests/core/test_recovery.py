"""Recovery: who comes back has no hole and no repeat, or is told."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.rig import EVENT, RULES, STATE, Rig

EPOCH = "stream-1"
KEPT = (100, 1 << 20, 60_000)


def remembering(events: int = 100, bytes_max: int = 1 << 20, age_ms: int = 60_000) -> Rig:
    """A core that keeps the newest events of the rule ``event``."""
    kept = [(0, 0, 0)] * len(RULES)
    kept[EVENT] = (events, bytes_max, age_ms)
    return Rig(history=kept)


def numbers(rig: Rig, handle: int) -> list[int]:
    return [number for _, number in rig.values(handle)]


def back(rig: Rig, name: str, after: int, epoch: str = "", **options: object) -> tuple[int, bool]:
    """A client that comes anew, subscribes, and has everything up to ``after``."""
    handle = rig.open(name)
    return handle, rig.core.catch_up(handle, name, epoch, after, **options)


def test_who_comes_back_gets_what_he_missed_and_then_what_is_new() -> None:
    rig = remembering()
    for number in range(1, 6):
        rig.publish("event.a", b"%d" % number)
    handle, whole = back(rig, "event.a", 2)
    assert whole
    rig.publish("event.a", b"6")
    rig.flush_all()
    assert rig.publications(handle) == [("event.a", n, n) for n in (3, 4, 5, 6)]
    rig.core.check()


def test_events_are_kept_though_nobody_is_there() -> None:
    rig = remembering()
    rig.publish("event.a", b"1")
    assert back(rig, "event.a", 0)[1], "nothing was ever forgotten, so this is all there was"


@pytest.mark.parametrize("after", [5, 4, 3, 2])
def test_what_is_kept_is_the_newest_of_a_channel(after: int) -> None:
    rig = remembering(events=2)
    for number in range(1, 6):
        rig.publish("event.a", b"%d" % number)
        rig.publish("event.b", b"%d" % number)
    handle, whole = back(rig, "event.a", after)
    rig.flush_all()
    assert whole == (after >= 3)
    assert numbers(rig, handle) == ([4, 5][after - 3 :] if whole else [])
    rig.core.check()


def test_bytes_are_counted_over_all_channels_of_a_rule() -> None:
    rig = remembering(bytes_max=3000)
    for number in range(30):
        rig.publish(f"event.{number}", b'"%s"' % (b"x" * 200))
    events, size = rig.core.history.of_rule(EVENT)
    assert 2 < events < 15 and size <= 3000
    assert back(rig, "event.29", 0)[1]
    assert not back(rig, "event.0", 0)[1]
    rig.core.check()


def test_what_is_too_old_is_given_up() -> None:
    rig = remembering(age_ms=5000)
    rig.later(1000)
    rig.publish("event.a", b"1")
    rig.later(4000)
    rig.publish("event.a", b"2")
    rig.later(2000)
    assert not back(rig, "event.a", 0)[1]
    assert back(rig, "event.a", 1)[1]
    rig.core.check()


def test_a_lost_event_is_a_hole_for_who_missed_it_and_for_nobody_else() -> None:
    rig = remembering()
    rig.publish("event.a", b"1")
    rig.core.lose(rig.core.open_channel("event.a", EVENT))
    rig.publish("event.a", b"3")
    assert not back(rig, "event.a", 1)[1]
    assert back(rig, "event.a", 2)[1]


def test_a_forgotten_channel_cannot_say_what_was_missed() -> None:
    kept = [(0, 0, 0), KEPT, KEPT]
    rig = Rig(history=kept, channels_max=2)
    rig.publish("event.a", b"1")
    rig.publish("event.b", b"1")
    rig.publish("event.c", b"1")
    handle = rig.open("event.a")  # which was forgotten, and is counted from above its last seq
    assert not rig.core.catch_up(handle, "event.a", "", 0)
    rig.core.check()


def test_more_than_may_be_owed_is_not_replayed_in_part() -> None:
    kept = [(0, 0, 0), KEPT, KEPT]
    rig = Rig(history=kept, events_count_max=10)
    for number in range(1, 21):
        rig.publish("event.a", b"%d" % number)
    handle, whole = back(rig, "event.a", 9)
    assert not whole
    rig.publish("event.a", b"21")
    rig.flush_all()
    assert numbers(rig, handle) == [21]


def test_a_state_channel_sends_its_latest_if_that_is_newer() -> None:
    rig = remembering()
    for number in (1, 2, 3):
        rig.publish("state.a", b"%d" % number)
    stale, current = back(rig, "state.a", 2), back(rig, "state.a", 3)
    rig.flush_all()
    assert stale[1] and current[1]
    assert numbers(rig, stale[0]) == [3]
    assert numbers(rig, current[0]) == []
    rig.publish("state.a", b"4")
    rig.flush_all()
    assert numbers(rig, current[0]) == [4]
    rig.core.check()


@pytest.mark.parametrize("name", ["event.a", "state.a"])
def test_a_position_of_another_epoch_is_worth_nothing(name: str) -> None:
    rig = remembering()
    rig.publish(name, b"1")
    handle, whole = back(rig, name, 1, epoch="another life")
    rig.flush_all()
    assert not whole
    assert numbers(rig, handle) == ([1] if name == "state.a" else [])


# positions of a source


class Stream:
    """A stream that several gateways hear of: one sequence for all subjects."""

    def __init__(self, *rigs: Rig, floor: int = 0) -> None:
        self.rigs = rigs
        self.seq = floor
        self.epochs = {id(rig): rig.core.open_epoch(EPOCH, floor) for rig in rigs}

    def publish(self, name: str, *, to: tuple[Rig, ...] | None = None) -> int:
        self.seq += 1
        for rig in self.rigs if to is None else to:
            self.tell(rig, name, self.seq)
        return self.seq

    def tell(self, rig: Rig, name: str, seq: int) -> bool:
        rule = STATE if name.startswith("state") else EVENT
        channel = rig.core.open_channel(name, rule, self.epochs[id(rig)])
        return rig.core.publish(channel, b"%d" % seq, seq, self.epochs[id(rig)])


def test_positions_of_a_source_are_told_as_they_are() -> None:
    rig = remembering()
    handle = rig.open("event.a")
    stream = Stream(rig, floor=40)
    for _ in range(2):
        stream.publish("event.a")
        stream.publish("event.b")
    rig.flush_all()
    assert rig.publications(handle) == [("event.a", 41, 41), ("event.a", 43, 43)]
    assert rig.core.epoch_of("event.a") == EPOCH


@pytest.mark.parametrize("name", ["event.a", "state.a"])
def test_a_repeat_is_ignored_and_counted(name: str) -> None:
    rig = remembering()
    handle = rig.open(name)
    stream = Stream(rig)
    for seq in (1, 2, 2, 1, 3):
        stream.tell(rig, name, seq)
        rig.flush_all()
    assert numbers(rig, handle) == [1, 2, 3]
    assert rig.total("publications_repeated") == 2


@pytest.mark.parametrize("name", ["event.a", "state.a"])
def test_a_gateway_that_is_behind_is_silent_until_it_has_passed(name: str) -> None:
    rig = remembering()
    stream = Stream(rig)
    for seq in (1, 2):
        stream.tell(rig, name, seq)
    handle, whole = back(rig, name, 4, epoch=EPOCH)
    other = rig.open(name)
    assert whole
    for seq in (3, 4, 5):
        stream.tell(rig, name, seq)
        rig.flush_all()
    assert numbers(rig, handle) == [5]
    assert numbers(rig, other)[-3:] == [3, 4, 5]
    rig.core.check()


@pytest.mark.parametrize("end", ["release", "unsubscribe", "epoch"])
def test_a_silence_ends_with_what_it_was_for(end: str) -> None:
    rig = remembering()
    stream = Stream(rig)
    stream.tell(rig, "event.a", 1)
    handle = rig.open("event.*")
    assert rig.core.catch_up(handle, "event.a", EPOCH, 10)
    rig.core.check()
    if end == "release":
        rig.core.release(handle)
        handle = rig.open("event.*")
    elif end == "unsubscribe":
        rig.core.unsubscribe(handle, "event.*")
        rig.subscribe(handle, "event.a")
    elif end == "epoch":
        channel = rig.core.open_channel("event.a", EVENT)
        rig.core.publish(channel, b"2", 2, rig.core.open_epoch("another life"))
    rig.core.check()
    if end == "epoch":
        rig.flush_all()
        assert numbers(rig, handle) == [2]
    else:
        stream.tell(rig, "event.a", 2)
        rig.flush_all()
        assert numbers(rig, handle) == [2]


def test_what_was_restored_is_history_and_sent_to_nobody_there() -> None:
    rig = remembering()
    early = rig.open("event.a")
    epoch = rig.core.open_epoch(EPOCH, 10)
    channel = rig.core.open_channel("event.a", EVENT, epoch)
    for seq in (11, 15):
        rig.core.restore(channel, b"%d" % seq, seq, epoch)
    rig.core.publish(channel, b"20", 20, epoch)
    handle, whole = back(rig, "event.a", 11, epoch=EPOCH)
    rig.flush_all()
    assert whole
    assert numbers(rig, early) == [20]
    assert numbers(rig, handle) == [15, 20]
    assert not back(rig, "event.a", 9, epoch=EPOCH)[1], "what lies below the floor is not known"
    assert back(rig, "event.a", 10, epoch=EPOCH)[1]


def test_the_origin_may_know_what_was_before() -> None:
    rig = remembering(events=2)
    stream = Stream(rig)
    for _ in range(5):
        stream.publish("event.a")
        stream.publish("event.b")
    assert rig.core.lacks("event.a", EPOCH, 1)
    assert not rig.core.lacks("event.a", EPOCH, 7), "kept here"
    assert not rig.core.lacks("event.a", "another life", 1)
    assert not rig.core.lacks("event.a", EPOCH, 1000)
    earlier = [(3, b"3"), (5, b"5"), (7, b"7")]
    handle, whole = back(rig, "event.a", 1, epoch=EPOCH, earlier=earlier)
    assert whole
    rig.flush_all()
    assert numbers(rig, handle) == [3, 5, 7, 9]
    assert not back(rig, "event.a", 1, epoch=EPOCH, earlier=earlier[:1])[1], "5 would be missing"


def test_what_the_origin_told_that_was_still_on_its_way_here_comes_once() -> None:
    rig = remembering(events=2)
    stream = Stream(rig)
    for _ in range(5):
        stream.publish("event.a")
    earlier = [(seq, b"%d" % seq) for seq in range(2, 8)]
    handle, whole = back(rig, "event.a", 1, epoch=EPOCH, earlier=earlier)
    assert whole
    for seq in (6, 7, 8):
        stream.tell(rig, "event.a", seq)
    rig.flush_all()
    assert numbers(rig, handle) == [2, 3, 4, 5, 6, 7, 8]
    rig.core.check()


# any order of everything


@dataclass
class Client:
    """What a client has received on one channel, over all its connections."""

    got: list[int] = field(default_factory=list)
    position: int = 0
    handle: int | None = None
    rig: Rig | None = None
    seen: int = 0  # publications received on this connection
    lost: bool = False


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(0, 1)),
        st.tuples(st.just("tell"), st.integers(0, 1)),
        st.tuples(st.just("flush"), st.integers(0, 1)),
        st.tuples(st.just("leave"), st.integers(0, 2)),
        st.tuples(st.just("come"), st.integers(0, 5)),
    ),
    max_size=120,
)


@given(STEPS, st.integers(1, 8))
@settings(deadline=None, max_examples=300)
def test_between_two_gateways_nobody_has_a_hole_or_a_repeat_unless_told(
    steps: list[tuple[str, int]], kept: int
) -> None:
    """Each gateway hears of everything in order, but as late as it likes."""
    rigs = [remembering(events=kept), remembering(events=kept)]
    streams = [Stream(rig) for rig in rigs]
    told = [0, 0]
    published = 0
    clients = [Client() for _ in range(3)]

    def receive(client: Client) -> None:
        if client.rig is None or client.handle is None:
            return
        for _, seq, number in client.rig.publications(client.handle)[client.seen :]:
            assert seq == number
            client.seen += 1
            client.got.append(seq)
            client.position = seq

    for step, place in steps:
        if step == "publish":
            published += 1
        elif step == "tell" and told[place] < published:
            told[place] += 1
            streams[place].tell(rigs[place], "event.a", told[place])
        elif step == "flush":
            rigs[place].flush_all()
            for client in clients:
                receive(client)
        elif step == "leave" and clients[place].handle is not None:
            client = clients[place]
            assert client.rig is not None and client.handle is not None
            client.rig.core.release(client.handle)
            client.handle = None
        elif step == "come" and clients[place % 3].handle is None:
            client = clients[place % 3]
            rig = rigs[place // 3]
            rig.core.open_channel("event.a", EVENT, rig.core.open_epoch(EPOCH))
            handle = rig.open()
            seq = rig.subscribe(handle, "event.a")
            assert seq is not None
            if not rig.core.catch_up(handle, "event.a", EPOCH, client.position):
                client.lost = True
                client.got.clear()
                client.position = max(client.position, seq)
            client.rig, client.handle, client.seen = rig, handle, 0
    for place, rig in enumerate(rigs):
        while told[place] < published:
            told[place] += 1
            streams[place].tell(rig, "event.a", told[place])
        rig.flush_all()
        rig.core.check()
    for client in clients:
        receive(client)
        assert client.got == sorted(set(client.got)), "no repeat, in order"
        if client.got:
            first, last = client.got[0], client.got[-1]
            assert client.got == list(range(first, last + 1)), "no hole since it was told last"
            if not client.lost:
                assert first == 1
            if client.handle is not None:
                assert last == published


# what was lost on its way here


def prevs(rig: Rig, handle: int) -> list[int]:
    return [json.loads(message)["prev"] for message in rig.received(handle)]


def stream_with_a_loss(rig: Rig) -> Stream:
    """Of ``event.a`` came 2 and 3; what lies up to 10 may be lost."""
    stream = Stream(rig)
    for seq in (2, 3):
        stream.tell(rig, "event.a", seq)
    rig.core.lose_up_to(rig.core.open_epoch(EPOCH), 10)
    return stream


@pytest.mark.parametrize("after", [3, 7, 9, 10, 11])
def test_before_what_was_lost_nothing_is_whole(after: int) -> None:
    rig = remembering()
    stream = stream_with_a_loss(rig)
    assert rig.core.position_of("event.a") == {"epoch": EPOCH, "seq": 10}
    for seq in (11, 12):
        stream.tell(rig, "event.a", seq)
    assert rig.core.lacks("event.a", EPOCH, after) == (after < 10)
    handle, whole = back(rig, "event.a", after, EPOCH)
    rig.flush_all()
    assert whole == (after >= 10)
    assert numbers(rig, handle) == ([n for n in (11, 12) if n > after] if whole else [])
    rig.core.check()


def test_before_the_next_publication_it_is_not_whole_either() -> None:
    rig = remembering()
    stream = stream_with_a_loss(rig)
    assert not back(rig, "event.a", 3, EPOCH)[1]
    assert not back(rig, "event.a", 7, EPOCH)[1], "which another gateway had"
    fresh, whole = back(rig, "event.a", 10, EPOCH)
    assert whole
    stream.tell(rig, "event.a", 12)
    rig.flush_all()
    assert numbers(rig, fresh) == [12]


def test_who_is_there_sees_by_the_next_publication_that_something_was_lost() -> None:
    rig = remembering()
    handle = rig.open("event.a", "event.b")
    stream = stream_with_a_loss(rig)
    for name, seq in (("event.a", 12), ("event.a", 13), ("event.b", 14)):
        stream.tell(rig, name, seq)
    rig.flush_all()
    assert prevs(rig, handle) == [0, 2, 10, 12, 10]


def test_the_origin_may_have_what_was_lost_here() -> None:
    rig = remembering()
    stream = stream_with_a_loss(rig)
    stream.tell(rig, "event.a", 12)
    earlier, horizon = [(5, b"5"), (9, b"9")], rig.core.horizon("event.a")
    handle, whole = back(rig, "event.a", 3, EPOCH, earlier=earlier, proven=horizon)
    assert whole
    rig.flush_all()
    assert numbers(rig, handle) == [5, 9, 12]
    rig.core.lose_up_to(rig.core.open_epoch(EPOCH), 20)  # since the origin was asked
    assert not back(rig, "event.a", 3, EPOCH, earlier=earlier, proven=horizon)[1]


def test_the_origin_may_know_that_there_was_nothing() -> None:
    rig = remembering()
    epoch = rig.core.open_epoch(EPOCH, 100)
    rig.core.open_channel("event.a", EVENT, epoch)
    assert rig.core.lacks("event.a", EPOCH, 7)
    horizon = rig.core.horizon("event.a")
    assert not back(rig, "event.a", 7, EPOCH)[1]
    assert back(rig, "event.a", 7, EPOCH, earlier=[], proven=horizon)[1]


def test_what_the_gateway_counts_begins_anew_when_some_of_it_may_be_lost() -> None:
    rig = remembering()
    stays = rig.open("event.a")
    for number in (1, 2, 3):
        rig.publish("event.a", b"%d" % number)
    rig.core.renew_own_epoch("anew")
    assert not back(rig, "event.a", 3, "")[1]
    position = rig.core.position_of("event.a")
    assert position == {"epoch": "anew", "seq": 3}
    assert not back(rig, "event.a", 2, "anew")[1]
    rig.publish("event.a", b"4")
    handle, whole = back(rig, "event.a", 3, "anew")
    rig.flush_all()
    assert whole and numbers(rig, handle) == [4]
    assert prevs(rig, stays) == [0, 1, 2, 0]
    rig.core.check()
