"""max_rate: a connection's clocks, as docs/protocol.md describes them."""

from __future__ import annotations

import pytest

from tests.core.rig import Rig
from wsgate.core.frame import Frame
from wsgate.core.roster import TooManyRates

RATES_MAX = 8
TICK_MS = 16  # the wheel is so late at most
INTERVAL_MS = 100


def started(*subscriptions: tuple[str, int]) -> tuple[Rig, int]:
    """A connection with these subscriptions, its clocks at rest."""
    rig = Rig()
    handle = rig.open()
    for name, interval_ms in subscriptions:
        rig.subscribe(handle, name, interval_ms)
    rig.later()
    return rig, handle


def publish(rig: Rig, channel: str, value: int) -> None:
    rig.publish(channel, b"%d" % value)
    rig.flush()


def strike(rig: Rig, ms: int = INTERVAL_MS + TICK_MS) -> None:
    rig.later(ms)
    rig.flush()


def test_the_first_update_leaves_at_once_and_the_next_are_held_for_the_latest() -> None:
    rig, handle = started(("state.a", INTERVAL_MS))
    for value in (1, 2, 3):
        publish(rig, "state.a", value)
    assert rig.values(handle) == [("state.a", 1)]
    strike(rig)
    assert rig.values(handle) == [("state.a", 1), ("state.a", 3)]
    assert rig.total("conflated") == 1


def test_nothing_leaves_before_the_interval_is_over() -> None:
    rig, handle = started(("state.a", INTERVAL_MS))
    publish(rig, "state.a", 1)
    began_ms = rig.now_ms
    publish(rig, "state.a", 2)
    while rig.now_ms < began_ms + INTERVAL_MS - 1:
        strike(rig, 1)
        assert len(rig.received(handle)) == 1 or rig.now_ms >= began_ms + INTERVAL_MS
    strike(rig, TICK_MS)
    assert rig.values(handle)[1:] == [("state.a", 2)]


def test_a_clock_that_holds_nothing_is_at_rest_again() -> None:
    rig, handle = started(("state.a", INTERVAL_MS))
    publish(rig, "state.a", 1)
    strike(rig)
    publish(rig, "state.a", 2)
    assert len(rig.received(handle)) == 2


def test_a_strike_that_released_something_begins_an_interval() -> None:
    rig, handle = started(("state.a", INTERVAL_MS))
    publish(rig, "state.a", 1)
    publish(rig, "state.a", 2)
    strike(rig)
    publish(rig, "state.a", 3)
    assert len(rig.received(handle)) == 2
    strike(rig)
    assert rig.values(handle)[-1] == ("state.a", 3)


@pytest.mark.parametrize("rate", [1, 3, 10, 100, 1000])
def test_updates_all_the_time_come_at_most_so_often(rate: int) -> None:
    interval_ms = round(1000 / rate)
    rig, handle = started(("state.a", interval_ms))
    began_ms = rig.now_ms
    for value in range(2000):
        publish(rig, "state.a", value)
        strike(rig, 3)
    seconds = (rig.now_ms - began_ms) / 1000
    received = len(rig.received(handle))
    assert received <= rate * seconds + 1
    late_ms = interval_ms + TICK_MS + 4
    assert received >= min(1000 * seconds / late_ms, 1999) - 1
    strike(rig, 2 * interval_ms + TICK_MS)
    assert rig.values(handle)[-1] == ("state.a", 1999)


def test_channels_with_one_rate_are_released_together() -> None:
    rig, handle = started(("state.a", INTERVAL_MS), ("state.b", INTERVAL_MS))
    publish(rig, "state.a", 1)
    publish(rig, "state.b", 2)
    publish(rig, "state.a", 3)
    assert rig.values(handle) == [("state.a", 1)]
    rig.clear()
    strike(rig)
    assert rig.values(handle) == [("state.b", 2), ("state.a", 3)]
    assert len(rig.wire.sends) == 1, "in one write"


def test_what_is_published_for_one_flush_passes_the_clock_together() -> None:
    rig, handle = started(("state.*", INTERVAL_MS))
    for name in ("state.a", "state.b", "state.c"):
        rig.publish(name)
    rig.flush()
    assert len(rig.received(handle)) == 3
    assert len(rig.wire.sends) == 1


def test_different_rates_are_different_clocks() -> None:
    rig, handle = started(("state.a", 100), ("state.b", 1000))
    for value in (1, 2):
        publish(rig, "state.a", value)
        publish(rig, "state.b", value)
    assert sorted(rig.values(handle)) == [("state.a", 1), ("state.b", 1)]
    strike(rig, 100 + TICK_MS)
    assert rig.values(handle)[2:] == [("state.a", 2)]
    strike(rig, 900)
    assert rig.values(handle)[3:] == [("state.b", 2)]


def test_clocks_are_a_connections_own() -> None:
    rig, first = started(("state.a", INTERVAL_MS))
    publish(rig, "state.a", 1)
    second = rig.open()
    rig.subscribe(second, "state.a", INTERVAL_MS)
    third = rig.open("state.a")
    rig.flush()
    publish(rig, "state.a", 2)
    assert rig.values(first) == [("state.a", 1)]
    assert rig.values(second) == [("state.a", 1), ("state.a", 2)]
    assert rig.values(third) == [("state.a", 1), ("state.a", 2)]


def test_the_value_that_subscribing_brings_does_not_wait_for_the_clock() -> None:
    rig, handle = started(("state.a", INTERVAL_MS))
    publish(rig, "state.a", 1)
    rig.publish("state.b", b"7")
    rig.subscribe(handle, "state.b", INTERVAL_MS)
    rig.flush()
    assert rig.values(handle) == [("state.a", 1), ("state.b", 7)]


def test_a_pattern_with_a_rate_brings_its_values_at_once_and_leaves_the_clock_at_rest() -> None:
    rig = Rig()
    rig.publish("state.a", b"1")
    other = rig.open("state.a")
    rig.flush()
    rig.publish("state.a", b"2")  # not spread yet when somebody new subscribes
    handle = rig.open()
    rig.subscribe(handle, "state.*", INTERVAL_MS)
    rig.flush()
    assert rig.values(handle) == [("state.a", 2)]
    assert rig.values(other) == [("state.a", 1), ("state.a", 2)]
    publish(rig, "state.a", 3)
    assert rig.values(handle) == [("state.a", 2), ("state.a", 3)]


def test_events_are_never_thinned() -> None:
    rig, handle = started(("event.a", 1000), (">", 1000))
    for value in range(10):
        publish(rig, "event.a", value)
    assert rig.values(handle) == [("event.a", value) for value in range(10)]


# several subscriptions that match


def test_a_subscription_without_a_rate_decides() -> None:
    rig, handle = started(("state.a", 1000), ("state.*", 0))
    for value in (1, 2, 3):
        publish(rig, "state.a", value)
    assert rig.values(handle) == [("state.a", 1), ("state.a", 2), ("state.a", 3)]


def test_the_subscription_to_the_channel_itself_decides_over_patterns() -> None:
    rig, handle = started(("state.*", 10_000), ("state.a", 100))
    publish(rig, "state.a", 1)
    publish(rig, "state.a", 2)
    strike(rig, 100 + TICK_MS)
    assert rig.values(handle) == [("state.a", 1), ("state.a", 2)]


def test_subscribing_again_changes_the_rate() -> None:
    rig, handle = started(("state.a", 10_000))
    publish(rig, "state.a", 1)
    rig.subscribe(handle, "state.a", 0)
    rig.flush()
    rig.clear()
    for value in (2, 3):
        publish(rig, "state.a", value)
    assert rig.values(handle) == [("state.a", 2), ("state.a", 3)]


def test_a_held_value_is_not_sent_twice_when_subscribing_again_sends_it() -> None:
    rig, handle = started(("state.a", INTERVAL_MS))
    publish(rig, "state.a", 1)
    publish(rig, "state.a", 2)
    rig.subscribe(handle, "state.a", INTERVAL_MS)
    rig.flush()
    strike(rig)
    assert rig.publications(handle) == [("state.a", 1, 1), ("state.a", 2, 2)]


def test_a_held_value_is_not_sent_twice_when_a_pattern_brings_it() -> None:
    rig, handle = started(("state.a", INTERVAL_MS))
    publish(rig, "state.a", 1)
    publish(rig, "state.a", 2)
    rig.subscribe(handle, "state.*", 0)
    rig.flush()
    strike(rig)
    assert rig.publications(handle) == [("state.a", 1, 1), ("state.a", 2, 2)]


# slow connections


def test_a_blocked_connection_gets_the_latest_once() -> None:
    """What it is owed already is not held besides."""
    rig, handle = started(("state.a", INTERVAL_MS))
    rig.delivery.block(handle)
    for value in (1, 2, 3):
        publish(rig, "state.a", value)
    strike(rig)
    publish(rig, "state.a", 4)
    rig.resume(handle)
    rig.flush()
    strike(rig)
    strike(rig)
    assert rig.publications(handle) == [("state.a", 4, 4)]


def test_a_clock_strikes_for_a_blocked_connection_too() -> None:
    rig, handle = started(("state.a", INTERVAL_MS))
    publish(rig, "state.a", 1)
    publish(rig, "state.a", 2)
    rig.delivery.block(handle)
    strike(rig)
    owed = rig.delivery.owed(handle)
    assert owed is not None
    assert owed["states"] == 1
    rig.resume(handle)
    rig.flush()
    assert rig.values(handle) == [("state.a", 1), ("state.a", 2)]


def test_a_closing_connection_is_released_nothing() -> None:
    rig, handle = started(("state.a", INTERVAL_MS))
    publish(rig, "state.a", 1)
    publish(rig, "state.a", 2)
    rig.delivery.end(handle, Frame.close(1000), False)
    strike(rig)
    rig.flush_replies()
    assert rig.values(handle) == [("state.a", 1)]


# how many


def test_a_ninth_rate_is_refused_and_changes_nothing() -> None:
    rig, handle = started(*((f"state.{n}", 100 + n) for n in range(RATES_MAX)))
    for name in ("state.new", "state.*"):
        with pytest.raises(TooManyRates, match="8"):
            rig.subscribe(handle, name, 999)
        assert not rig.core.is_subscribed(handle, name)
    rig.core.check()
    assert rig.subscribe(handle, "state.new", 100) == 0
    assert rig.core.subscription_count(handle) == RATES_MAX + 1


def test_a_rate_that_nobody_uses_makes_room_for_another() -> None:
    rig, handle = started()
    for n in range(3 * RATES_MAX):
        rig.subscribe(handle, "state.a", 100 + n)
        rig.core.unsubscribe(handle, "state.a")


def test_a_rate_makes_room_also_if_something_was_held_for_it() -> None:
    rig, handle = started()
    for n in range(3 * RATES_MAX):
        rig.subscribe(handle, "state.a", 100 + n)
        rig.later()
        publish(rig, "state.a", 1)
        publish(rig, "state.a", 2)
        rig.core.unsubscribe(handle, "state.a")
    rig.clear()
    strike(rig)
    assert rig.received(handle) == [], "what was held went with the subscription"


def test_a_rate_in_use_stays_while_one_subscription_has_it() -> None:
    rig, handle = started(*((f"state.{n}", 100 + n) for n in range(RATES_MAX)))
    rig.subscribe(handle, "state.also", 100)
    rig.core.unsubscribe(handle, "state.0")
    with pytest.raises(TooManyRates):
        rig.subscribe(handle, "state.new", 999)
    rig.core.unsubscribe(handle, "state.also")
    rig.subscribe(handle, "state.new", 999)


# leaving


def test_unsubscribing_gives_up_what_is_held_unless_another_subscription_wants_it() -> None:
    rig, handle = started(("state.a", INTERVAL_MS), ("state.b", INTERVAL_MS), ("state.*", 5000))
    for value in (1, 2):
        for name in ("state.a", "state.b"):
            rig.publish(name, b"%d" % value)
        rig.flush()
    rig.clear()
    rig.core.unsubscribe(handle, "state.*")
    rig.core.unsubscribe(handle, "state.b")
    rig.core.check()
    strike(rig)
    assert rig.values(handle) == [("state.a", 2)]


def held_by_two_clocks() -> tuple[Rig, int]:
    """The subscription that held a value first has ended; another one's clock holds it too."""
    rig, handle = started(("state.a", INTERVAL_MS), ("state.*", 5000))
    for name in ("state.a", "state.b"):  # both clocks run
        publish(rig, name, 1)
    for name in ("state.a", "state.b"):  # both hold something
        publish(rig, name, 2)
    rig.core.unsubscribe(handle, "state.a")
    publish(rig, "state.a", 3)
    rig.clear()
    return rig, handle


def test_what_two_clocks_hold_is_sent_once() -> None:
    rig, handle = held_by_two_clocks()
    rig.core.check()
    strike(rig)
    strike(rig, 5000)
    assert rig.publications(handle) == [("state.a", 3, 3), ("state.b", 2, 2)]


def test_what_two_clocks_hold_is_given_up_once_by_each() -> None:
    rig, handle = held_by_two_clocks()
    rig.core.unsubscribe(handle, "state.*")
    rig.core.check()
    strike(rig, 5000)
    assert rig.received(handle) == []


def test_what_two_clocks_hold_goes_with_the_connection() -> None:
    rig, handle = held_by_two_clocks()
    rig.core.release(handle)
    rig.core.check()


def test_a_connection_that_goes_leaves_no_clock_behind() -> None:
    rig, handle = started(("state.a", INTERVAL_MS))
    publish(rig, "state.a", 1)
    publish(rig, "state.a", 2)
    rig.core.release(handle)
    heir = rig.open()
    strike(rig)
    assert rig.received(heir) == []
    rig.core.check()
