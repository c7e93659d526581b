"""Channels: positions, last values, and which are forgotten when there are too many."""

from __future__ import annotations

import pytest

from tests.core.rig import EVENT, STATE, Rig
from wsgate.core.counters import live_objects
from wsgate.core.roster import TooManyChannels


def known(rig: Rig, *names: str) -> list[str]:
    return [name for name in names if rig.core.find_channel(name) is not None]


# positions


@pytest.mark.parametrize("name", ["state.a", "event.a"])
def test_positions_count_from_one(name: str) -> None:
    rig = Rig()
    handle = rig.open(name)
    for _ in range(3):
        rig.publish(name)
        rig.flush()
    heads = [message.split(b',"data"')[0] for message in rig.received(handle)]
    assert [head.split(b'"seq":')[1] for head in heads] == [
        b'1,"prev":0',
        b'2,"prev":1',
        b'3,"prev":2',
    ]


@pytest.mark.parametrize("name", ["state.a", "event.a"])
def test_subscribing_tells_how_far_the_channel_is(name: str) -> None:
    rig = Rig()
    handle = rig.open()
    assert rig.subscribe(handle, name) == 0
    for seq in (1, 2, 3):
        rig.publish(name)
        assert rig.subscribe(handle, name) == seq


def test_publications_that_nobody_wants_are_numbered_too() -> None:
    rig = Rig()
    rig.publish("event.a")
    rig.publish("event.a")
    handle = rig.open("event.a")
    rig.publish("event.a")
    rig.flush()
    assert rig.received(handle)[0].startswith(
        b'{"type":"note","channel":"event.a","seq":3,"prev":2,'
    )


def test_each_channel_counts_for_itself() -> None:
    rig = Rig()
    handle = rig.open("event.*")
    for name in ("event.a", "event.b", "event.a"):
        rig.publish(name)
    rig.flush()
    assert [(name, seq) for name, seq, _ in rig.publications(handle)] == [
        ("event.a", 1),
        ("event.b", 1),
        ("event.a", 2),
    ]


# last values


def test_a_state_channel_sends_its_last_value_on_subscribing() -> None:
    rig = Rig()
    rig.publish("state.a", b"1")
    rig.publish("state.a", b"2")
    handle = rig.open("state.a")
    rig.flush()
    assert rig.publications(handle) == [("state.a", 2, 2)]


def test_an_event_channel_sends_nothing_on_subscribing() -> None:
    rig = Rig()
    rig.publish("event.a", b"1")
    handle = rig.open("event.a")
    rig.flush()
    assert rig.received(handle) == []


def test_a_channel_without_a_value_sends_nothing_on_subscribing() -> None:
    rig = Rig()
    handle = rig.open("state.a", "state.*")
    rig.flush()
    assert rig.received(handle) == []


def test_a_pattern_brings_the_values_of_all_it_matches_and_of_no_other() -> None:
    rig = Rig()
    for name in ("state.a", "state.b", "state.c.d", "event.a"):
        rig.publish(name, b'"%s"' % name.encode())
    handle = rig.open("state.*")
    rig.flush()
    assert sorted(rig.values(handle)) == [("state.a", "state.a"), ("state.b", "state.b")]


def test_subscribing_again_brings_the_value_again() -> None:
    rig = Rig()
    rig.publish("state.a", b"1")
    handle = rig.open("state.a")
    rig.flush()
    rig.subscribe(handle, "state.a")
    rig.flush()
    assert rig.publications(handle) == [("state.a", 1, 1)] * 2


# forgetting


def test_the_longest_unused_channel_is_forgotten_first() -> None:
    rig = Rig(channels_max=3)
    for name in ("event.1", "event.2", "event.3"):
        rig.core.open_channel(name, EVENT)
    rig.publish("event.1")
    rig.core.open_channel("event.4", EVENT)
    assert known(rig, "event.1", "event.2", "event.3", "event.4") == [
        "event.1",
        "event.3",
        "event.4",
    ]
    assert rig.core.channels.count == 3
    assert rig.total("channels_evicted") == 1


def test_channels_with_subscribers_are_never_forgotten() -> None:
    rig = Rig(channels_max=2)
    rig.open("event.1", "event.2")
    for _ in range(2):
        with pytest.raises(TooManyChannels, match="all 2 channels"):
            rig.core.open_channel("event.3", EVENT)
    assert known(rig, "event.1", "event.2", "event.3") == ["event.1", "event.2"]
    rig.core.check()


def test_a_channel_is_free_to_be_forgotten_when_the_last_subscriber_leaves() -> None:
    rig = Rig(channels_max=1)
    first, second = rig.open_many(2, "event.1")
    rig.core.unsubscribe(first, "event.1")
    with pytest.raises(TooManyChannels):
        rig.core.open_channel("event.2", EVENT)
    rig.core.release(second)
    rig.core.open_channel("event.2", EVENT)
    assert known(rig, "event.1", "event.2") == ["event.2"]


def test_a_pattern_keeps_no_channel() -> None:
    rig = Rig(channels_max=1)
    handle = rig.open("event.*")
    rig.publish("event.1")
    rig.publish("event.2")
    assert known(rig, "event.1", "event.2") == ["event.2"]
    rig.flush()
    assert [name for name, _, _ in rig.publications(handle)] == ["event.1", "event.2"]


def test_a_value_that_is_owed_keeps_its_channel() -> None:
    rig = Rig(channels_max=1)
    handle = rig.open("state.*")
    rig.delivery.block(handle)
    rig.publish("state.1", b"1")
    with pytest.raises(TooManyChannels):
        rig.core.open_channel("state.2", STATE)
    rig.flush()
    with pytest.raises(TooManyChannels):
        rig.core.open_channel("state.2", STATE)
    rig.resume(handle)
    rig.flush()
    assert rig.values(handle) == [("state.1", 1)]
    rig.core.open_channel("state.2", STATE)


def test_a_value_that_a_clock_holds_keeps_its_channel() -> None:
    rig = Rig(channels_max=1)
    handle = rig.open()
    rig.subscribe(handle, "state.*", 100)
    rig.later()
    for value in (b"1", b"2"):
        rig.publish("state.1", value)
        rig.flush()
    with pytest.raises(TooManyChannels):
        rig.core.open_channel("state.2", STATE)
    rig.later()
    rig.flush()
    assert rig.values(handle) == [("state.1", 1), ("state.1", 2)]
    rig.core.open_channel("state.2", STATE)


@pytest.mark.parametrize("name", ["state.a", "event.a"])
def test_a_forgotten_channel_that_comes_back_never_goes_back(name: str) -> None:
    rig = Rig(channels_max=1)
    handle = rig.open(name.split(".")[0] + ".*")
    for _ in range(5):
        rig.publish(name)
        rig.flush()
    rig.publish("strict.other")
    assert known(rig, name) == []
    rig.publish(name)
    rig.flush()
    seqs = [seq for _, seq, _ in rig.publications(handle)]
    assert seqs[:5] == [1, 2, 3, 4, 5]
    assert seqs[5] > 5
    assert b'"prev":0,' in rig.received(handle)[5], "what came before is not known any more"


def test_a_new_value_is_the_only_one_remembered() -> None:
    """A thousand publications hold as much as one."""
    rig = Rig()
    handle = rig.open("state.a")
    rig.publish("state.a", b"1")
    rig.flush()
    before = live_objects()
    for value in range(1000):
        rig.publish("state.a", b"%d" % value)
        rig.flush()
    assert live_objects() == before
    assert len(rig.received(handle)) == 1001
