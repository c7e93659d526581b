"""Tickets: once, for a while, in bounded memory."""

from __future__ import annotations

import gc
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.issuer import NOW_S
from wsgate.auth.identity import Identity
from wsgate.auth.permissions import NOTHING
from wsgate.auth.tickets import Tickets

WHO = Identity("user-1", NOW_S + 600, NOTHING)


def test_a_ticket_is_good_once() -> None:
    tickets = Tickets()
    ticket = tickets.issue(WHO, 30, NOW_S)
    assert tickets.redeem(ticket, NOW_S + 29.9) is WHO
    assert tickets.redeem(ticket, NOW_S + 29.9) is None
    assert tickets.snapshot() == {
        "held": 0,
        "issued": 1,
        "redeemed": 1,
        "expired": 0,
        "pushed_out": 0,
        "unknown": 1,
    }


def test_a_ticket_is_good_for_its_time_only() -> None:
    tickets = Tickets()
    ticket = tickets.issue(WHO, 30, NOW_S)
    assert tickets.redeem(ticket, NOW_S + 30) is None
    assert tickets.redeem(ticket, NOW_S) is None, "seen once is used"
    assert tickets.snapshot()["expired"] == 1


def test_a_ticket_does_not_outlive_its_token() -> None:
    tickets = Tickets()
    ticket = tickets.issue(Identity("user-1", NOW_S + 5, NOTHING), 30, NOW_S)
    assert tickets.redeem(ticket, NOW_S + 5) is None


def test_tickets_cannot_be_guessed() -> None:
    tickets = Tickets()
    issued = {tickets.issue(WHO, 30, NOW_S) for _ in range(1000)}
    assert len(issued) == 1000
    assert {len(ticket) for ticket in issued} == {43}  # 256 bits
    for wrong in ["", "a", "a" * 43, "ü" * 43, "\ud800" * 43, next(iter(issued)) + "="]:
        assert tickets.redeem(wrong, NOW_S) is None
    assert len(tickets) == 1000


@pytest.mark.parametrize("ttl_s", [0, -1, 300.1, float("inf"), float("nan")])
def test_only_short_lives_are_allowed(ttl_s: float) -> None:
    with pytest.raises(ValueError, match="ttl_s is"):
        Tickets().issue(WHO, ttl_s, NOW_S)


def test_past_the_bound_the_oldest_goes() -> None:
    tickets = Tickets(tickets_max=3)
    issued = [tickets.issue(WHO, 30, NOW_S) for _ in range(5)]
    assert len(tickets) == 3
    assert tickets.snapshot()["pushed_out"] == 2
    assert [tickets.redeem(one, NOW_S) for one in issued] == [None, None, WHO, WHO, WHO]


def test_expired_ones_make_room_before_good_ones_do() -> None:
    tickets = Tickets(tickets_max=2)
    tickets.issue(WHO, 10, NOW_S)
    good = tickets.issue(WHO, 100, NOW_S)
    tickets.issue(WHO, 10, NOW_S + 10)
    assert tickets.redeem(good, NOW_S + 10) is WHO
    assert tickets.snapshot()["pushed_out"] == 0


def test_only_digests_are_kept() -> None:
    tickets = Tickets()
    ticket = tickets.issue(WHO, 30, NOW_S)
    held = [referent for one in gc.get_referents(tickets) for referent in gc.get_referents(one)]
    assert sha256(ticket.encode()).digest() in held
    assert ticket not in held and ticket.encode() not in held
    assert ticket not in repr(tickets)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.tuples(st.sampled_from(["issue", "redeem"]), st.integers(1, 20), st.integers(0, 10)),
        max_size=60,
    )
)
def test_against_a_model(steps: list[tuple[str, int, int]]) -> None:
    """The model: a list of what was issued. Bounds apart, nothing else decides."""
    tickets = Tickets(tickets_max=1000)
    issued: list[tuple[str, float]] = []
    now_s = NOW_S
    for action, ttl_s, pick in steps:
        now_s += pick
        if action == "issue":
            issued.append((tickets.issue(WHO, ttl_s, now_s), now_s + ttl_s))
        elif issued:
            ticket, expires_at_s = issued.pop(pick % len(issued))
            assert tickets.redeem(ticket, now_s) is (WHO if now_s < expires_at_s else None)
    live = sum(now_s < expires_at_s for _, expires_at_s in issued)
    assert live <= len(tickets) <= len(issued)
