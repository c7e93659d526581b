"""What the core tells whoever scrapes it: how things are spread, what is busy, totals by rule."""

from __future__ import annotations

import pytest

from tests.core.rig import EVENT, STATE, STRICT, Rig

BOUNDS = (0, 1, 3)

# how things are spread


def test_connections_are_counted_by_their_subscriptions() -> None:
    rig = Rig()
    assert rig.core.subscriptions_per_connection(BOUNDS) == ([0, 0, 0, 0], 0)
    rig.open()
    rig.open_many(2, "event.a")
    rig.open("event.a", "event.b", "event.*")
    gone = rig.open(*(f"event.{number}" for number in range(9)))
    assert rig.core.subscriptions_per_connection(BOUNDS) == ([1, 2, 1, 1], 2 + 3 + 9)
    rig.core.release(gone)
    assert rig.core.subscriptions_per_connection(BOUNDS) == ([1, 2, 1, 0], 2 + 3)


def test_channels_are_counted_by_who_is_subscribed_by_name() -> None:
    rig = Rig()
    assert rig.core.subscribers_per_channel(BOUNDS) == ([0, 0, 0, 0], 0)
    rig.publish("event.unwanted")
    rig.open_many(4, "state.wanted")
    rig.open_many(2, "event.some", "event.*")
    assert rig.core.subscribers_per_channel(BOUNDS) == ([1, 0, 1, 1], 4 + 2)


def test_a_forgotten_channel_is_not_counted() -> None:
    rig = Rig(channels_max=1)
    rig.publish("event.a")
    rig.publish("event.b")
    assert rig.core.subscribers_per_channel(BOUNDS) == ([1, 0, 0, 0], 0)


def test_bounds_are_bounded() -> None:
    rig = Rig()
    with pytest.raises(ValueError, match="at most 32 bounds"):
        rig.core.subscribers_per_channel(range(33))
    assert rig.core.subscribers_per_channel(range(32)) == ([0] * 33, 0)


# what is busy


@pytest.mark.parametrize("order", [range(1, 51), range(50, 0, -1)])
def test_the_busiest_channels_come_first(order: range) -> None:
    rig = Rig()
    rig.open("event.silent")
    for times in order:
        for _ in range(times):
            rig.publish(f"event.{times}")
    assert rig.core.busiest(3) == [("event.50", 50), ("event.49", 49), ("event.48", 48)]
    assert len(rig.core.busiest(1000)) == 50


def test_nothing_is_busy_where_nothing_was_published() -> None:
    rig = Rig()
    rig.open("event.a")
    assert rig.core.busiest(10) == []


def test_what_is_known_of_a_channel() -> None:
    rig = Rig()
    rig.open_many(3, "state.a")
    rig.open("state.*", "state.a")
    for _ in range(5):
        rig.publish("state.a")
    assert rig.core.facts("state.a") == {
        "rule": STATE,
        "seq": 5,
        "publications": 5,
        "subscribers": 5,
    }
    assert rig.core.facts("state.b") is None
    assert rig.core.facts("state.*") is None


def test_publications_are_those_since_the_channel_is_known() -> None:
    """Its position goes on above all that were forgotten."""
    rig = Rig(channels_max=1)
    for _ in range(7):
        rig.publish("event.old")
    rig.publish("event.new")
    facts = rig.core.facts("event.new")
    assert facts is not None
    assert (facts["seq"], facts["publications"]) == (8, 1)
    assert rig.core.busiest(5) == [("event.new", 1)]


# by rule


def test_totals_are_known_by_rule() -> None:
    rig = Rig()
    rig.open("state.a", "event.a")
    rig.open("event.a")
    for _ in range(3):
        rig.publish("state.a")
        rig.publish("event.a")
    rig.publish("strict.unwanted")
    rig.flush()
    of_rule = rig.core.counters.of_rule
    assert of_rule(STATE) == {"publications": 3, "deliveries": 1}
    assert of_rule(EVENT) == {"publications": 3, "deliveries": 6}
    assert of_rule(STRICT) == {"publications": 1, "deliveries": 0}
    totals = rig.core.counters.snapshot()
    assert (totals["publications"], totals["deliveries"]) == (7, 7)


@pytest.mark.parametrize("place", [-1, 64])
def test_a_rule_that_cannot_be(place: int) -> None:
    with pytest.raises(IndexError, match="from 0 to 63"):
        Rig().core.counters.of_rule(place)


def test_gaps_and_replies_are_no_deliveries_of_a_rule() -> None:
    rig = Rig(events_count_max=1)
    handle = rig.open("event.a")
    rig.choke(handle)
    for _ in range(3):
        rig.publish("event.a")
    rig.flush()
    rig.resume(handle)
    rig.flush()
    assert [name for name, _, _ in rig.publications(handle)] == ["event.a", "gap"]
    assert rig.core.counters.of_rule(EVENT)["deliveries"] == 1
    assert rig.total("deliveries") == 1


# by reason


def test_conflation_says_where_it_happened() -> None:
    rig = Rig()
    handle = rig.open("state.a")
    for _ in range(3):
        rig.publish("state.a")  # two of them before anybody was owed anything
    rig.choke(handle)
    rig.flush()  # cut: the transport holds it
    for _ in range(4):
        rig.publish("state.a")
        rig.flush()  # three of them took the place of one that is owed
    totals = rig.core.counters.snapshot()
    assert (totals["conflated_gathered"], totals["conflated_owed"]) == (2, 3)
    assert totals["conflated_held"] == 0
    assert totals["conflated"] == 5


def test_what_a_rate_holds_back_is_told_apart() -> None:
    rig = Rig()
    handle = rig.open()
    rig.subscribe(handle, "state.a", 1000)
    for _ in range(4):
        rig.publish("state.a")
        rig.flush()  # one leaves, one is held, two take its place
    totals = rig.core.counters.snapshot()
    assert totals["conflated_held"] == totals["conflated"] == 2


@pytest.mark.parametrize(
    ("channel", "dropped"), [("event.a", "dropped_gap"), ("strict.a", "dropped_close")]
)
def test_drops_say_what_became_of_the_client(channel: str, dropped: str) -> None:
    rig = Rig(events_count_max=2)
    handle = rig.open(channel)
    rig.choke(handle)
    for _ in range(3):
        rig.publish(channel)
    totals = rig.core.counters.snapshot()
    assert totals[dropped] == totals["dropped"] == 1
