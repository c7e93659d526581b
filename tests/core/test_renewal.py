"""When a keyframe is renewed: what deltas cost above fresh ones, against what a renewal costs."""

from __future__ import annotations

from wsgate.core.renewal import Renewal

LEAST, MOST = 4, 1024


def deltas_until_due(renewal: Renewal, first: int, later: int) -> int:
    count = 1
    if renewal.due(first):
        return count
    while True:
        count += 1
        if renewal.due(later):
            return count


def begun() -> Renewal:
    """Of a channel whose first keyframe has been replaced."""
    renewal = Renewal()
    assert deltas_until_due(renewal, 80, 80) == LEAST
    renewal.done(0, 1)
    return renewal


def test_the_first_keyframe_is_not_kept_for_long() -> None:
    """Nothing is known of it: all deltas may be large only because it is unlike the others."""
    assert deltas_until_due(Renewal(), 400, 400) == LEAST


def test_deltas_that_do_not_grow_renew_nothing_for_long() -> None:
    assert deltas_until_due(begun(), 80, 80) == MOST


def test_deltas_that_grow_renew_soon_but_not_at_once() -> None:
    assert deltas_until_due(begun(), 80, 81) == 9
    assert deltas_until_due(begun(), 80, 800) == LEAST


def test_what_is_dear_is_done_less_often() -> None:
    renewal = begun()
    soon = deltas_until_due(renewal, 80, 90)
    for _ in range(20):
        renewal.done(catch_up_bytes=40_000, in_step=100)
        later = deltas_until_due(renewal, 80, 90)
    assert 390 <= renewal.price <= 400
    assert soon == LEAST
    assert 38 <= later <= 42
    for _ in range(40):
        renewal.done(catch_up_bytes=0, in_step=100)
        deltas_until_due(renewal, 80, 90)
    assert renewal.price < 4, "who made it dear may be gone"


def test_the_price_is_bounded_even_if_nobody_keeps_step() -> None:
    renewal = Renewal()
    for _ in range(50):
        renewal.done(catch_up_bytes=2**40, in_step=0)
    assert 2000 <= renewal.price <= 2048


def test_fresh_is_measured_again_after_each_renewal() -> None:
    """A first delta that was small by chance is not believed for ever."""
    renewal = Renewal()
    counts = []
    for _ in range(30):
        counts.append(deltas_until_due(renewal, 10 if not counts else 80, 80))
        renewal.done(0, 1)
    assert counts[0] == LEAST
    assert counts[-1] > 50
