"""Token buckets against exact arithmetic, and the tables against tables that forget nothing."""

from __future__ import annotations

import math
from collections import OrderedDict
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from wsgate.rates import RateTable, TokenBucket

fuzz = settings(deadline=None, max_examples=300)

RATES = st.floats(0.01, 1000)
BURSTS = st.floats(1, 10_000)
COSTS = st.floats(0, 100)
STEPS_S = st.floats(0, 1000) | st.just(0.0)
STARTS_S = st.sampled_from([0.0, 12.5, 1e6])  # how long the machine has been running

ROUNDING = 1e-5  # of a token: ten times what a bucket forgives


# ------------------------------------------------------------------------------ token buckets


def test_a_bucket_is_full_at_first_and_refills() -> None:
    bucket = TokenBucket(rate_per_s=2, burst=3)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.wait_s(100.0) == 0.5
    assert not bucket.take(100.4)
    assert bucket.take(100.5)
    assert not bucket.take(100.5)
    assert bucket.level(1000.0) == 3
    assert [bucket.take(1000.0) for _ in range(4)] == [True, True, True, False]


def test_costs() -> None:
    bucket = TokenBucket(rate_per_s=10, burst=100)
    assert not bucket.take(0.0, 101)
    assert bucket.wait_s(0.0, 101) == math.inf
    assert bucket.take(0.0, 70)
    assert not bucket.take(0.0, 31)  # takes nothing
    assert bucket.wait_s(0.0, 31) == pytest.approx(0.1)
    assert bucket.take(0.0, 30)
    assert bucket.take(0.0, 0)
    assert bucket.wait_s(0.0, 0) == 0


def test_to_ask_how_long_changes_nothing() -> None:
    bucket = TokenBucket(rate_per_s=1, burst=2)
    bucket.take(0.0, 2)
    assert [bucket.wait_s(0.0), bucket.wait_s(10.0), bucket.wait_s(0.5)] == [1.0, 0.0, 0.5]
    assert not bucket.take(0.5)


@pytest.mark.parametrize("tenths", [1, 3, 7])
def test_who_asks_at_the_rate_is_never_refused(tenths: int) -> None:
    # None of these intervals is a binary fraction: each step is rounded.
    interval_s = tenths / 10
    bucket = TokenBucket(rate_per_s=1 / interval_s, burst=1)
    now_s = 1e6
    for _ in range(20_000):
        assert bucket.take(now_s)
        now_s += interval_s


def test_the_clock_s_age_costs_no_precision() -> None:
    young, old = TokenBucket(3, 5), TokenBucket(3, 5)
    for step in range(10_000):
        at_s = step / 16  # exact in both
        assert young.take(at_s) == old.take(2.0**32 + at_s)
    assert young.level(10_000) == old.level(2.0**32 + 10_000)


def test_a_clock_that_goes_back_gives_nothing_and_locks_nobody_out() -> None:
    bucket = TokenBucket(rate_per_s=1, burst=2)
    assert bucket.take(1000.0, 2)
    assert not bucket.take(0.0)
    assert bucket.level(0.0) == 0
    assert bucket.take(1.0)
    assert not bucket.take(1.0)


@pytest.mark.parametrize(
    ("rate_per_s", "burst"),
    [(0, 1), (-1, 1), (1, 0), (1, -1), (math.nan, 1), (1, math.nan), (math.inf, 1), (1, math.inf)],
)
def test_parameters_that_make_no_bucket(rate_per_s: float, burst: float) -> None:
    with pytest.raises(ValueError, match="rate_per_s and burst must be above 0"):
        TokenBucket(rate_per_s, burst)
    with pytest.raises(ValueError, match="rate_per_s and burst must be above 0"):
        RateTable(rate_per_s, burst, keys_max=10)


def test_a_bucket_has_no_dictionary() -> None:
    assert not hasattr(TokenBucket(1, 1), "__dict__")


@fuzz
@given(RATES, BURSTS, STARTS_S, st.lists(st.tuples(STEPS_S, COSTS), max_size=50))
def test_a_bucket_agrees_with_exact_arithmetic(
    rate_per_s: float, burst: float, now_s: float, asked: list[tuple[float, float]]
) -> None:
    bucket = TokenBucket(rate_per_s, burst)
    level, at = Fraction(burst), Fraction(now_s)
    for step_s, cost in asked:
        now_s += step_s
        level = min(Fraction(burst), level + (Fraction(now_s) - at) * Fraction(rate_per_s))
        at = Fraction(now_s)
        taken = bucket.take(now_s, cost)
        if taken:
            assert cost <= level + Fraction(ROUNDING)
            level = max(Fraction(0), level - Fraction(cost))
        else:
            assert cost > level
        assert abs(bucket.level(now_s) - level) < ROUNDING
        # What was forgiven must not add up in the model.
        level = Fraction(bucket.level(now_s))


@fuzz
@given(RATES, BURSTS, st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(0, 1e6)), max_size=50))
def test_no_clock_takes_a_bucket_out_of_its_bounds(
    rate_per_s: float, burst: float, asked: list[tuple[float, float]]
) -> None:
    bucket = TokenBucket(rate_per_s, burst)
    for now_s, cost in asked:
        before = bucket.level(now_s)
        taken = bucket.take(now_s, cost)
        after = bucket.level(now_s)
        assert 0 <= after <= before <= burst
        assert taken or after == before
        assert not taken or after == pytest.approx(before - cost, abs=ROUNDING)


@fuzz
@given(RATES, BURSTS, STARTS_S, st.lists(st.tuples(STEPS_S, COSTS), min_size=1, max_size=20))
def test_after_the_wait_it_is_there_and_not_before(
    rate_per_s: float, burst: float, now_s: float, asked: list[tuple[float, float]]
) -> None:
    bucket = TokenBucket(rate_per_s, burst)
    for step_s, cost in asked:
        now_s += step_s
        wait_s = bucket.wait_s(now_s, cost)
        if wait_s == math.inf:
            assert cost > burst
        else:
            early_s = now_s + wait_s - 2 * ROUNDING / rate_per_s
            assert early_s < now_s or not bucket.take(early_s, cost)
            now_s += wait_s
            assert bucket.take(now_s, cost)


# -------------------------------------------------------------------------------- rate tables


def test_keys_have_buckets_of_their_own() -> None:
    table: RateTable[str] = RateTable(rate_per_s=1, burst=1, keys_max=10)
    assert table.take("a", 0.0)
    assert not table.take("a", 0.0)
    assert table.take("b", 0.0)
    assert table.wait_s("a", 0.25) == 0.75
    assert table.wait_s("never seen", 0.25) == 0
    assert table.wait_s("never seen", 0.25, 2) == math.inf
    assert len(table) == 2


def test_idle_keys_are_forgotten_by_later_takes() -> None:
    table: RateTable[int] = RateTable(rate_per_s=1, burst=10, keys_max=1000)
    for key in range(100):
        table.take(key, 0.0)
    assert len(table) == 100
    # Two go for each take, which brings one: the rest of the hundred takes as many again.
    for key in range(100, 200):
        table.take(key, 1.0 + key / 1e6)
    assert len(table) == 100
    assert table.evicted == 0
    table.take(0, 100.0)
    assert len(table) == 99


def test_a_full_table_forgets_who_has_been_quiet_for_longest() -> None:
    table: RateTable[str] = RateTable(rate_per_s=1, burst=2, keys_max=2)
    for key in ("a", "a", "b", "b"):
        assert table.take(key, 0.0)
    assert not table.take("a", 0.0)  # being refused is not being quiet
    assert table.take("c", 0.0)
    assert (len(table), table.evicted) == (2, 1)
    assert not table.take("a", 0.0)
    assert table.take("b", 0.0)  # had been forgotten
    assert (len(table), table.evicted) == (2, 2)


def test_a_table_has_room_for_one_at_least() -> None:
    with pytest.raises(ValueError, match="keys_max must be at least 1, not 0"):
        RateTable(1, 1, keys_max=0)


KEYS = st.integers(0, 5)


class RateTableMachine(RuleBasedStateMachine):
    """A table beside one that forgets all it may before each take, with buckets of its own.

    The table forgets two at most, so it may hold more, but it evicts the same ones: where it has
    left any that is full, it has just made room for two.
    """

    KEYS_MAX = 4

    def __init__(self) -> None:
        super().__init__()
        self.table: RateTable[int] = RateTable(0.5, 3, self.KEYS_MAX)
        self.model: OrderedDict[int, TokenBucket] = OrderedDict()
        self.evicted = 0
        self.now_s = 0.0

    @rule(step_s=st.integers(0, 16).map(lambda eighths: eighths / 8))
    def wait(self, step_s: float) -> None:
        self.now_s += step_s

    @rule(key=KEYS, cost=st.sampled_from([1.0, 1.0, 0.25, 3.0, 4.0]))
    def take(self, key: int, cost: float) -> None:
        while self.model and next(iter(self.model.values())).level(self.now_s) == 3:
            self.model.popitem(last=False)
        if key not in self.model and len(self.model) == self.KEYS_MAX:
            self.model.popitem(last=False)
            self.evicted += 1
        bucket = self.model.setdefault(key, TokenBucket(0.5, 3))
        self.model.move_to_end(key)
        assert self.table.take(key, self.now_s, cost) is bucket.take(self.now_s, cost)

    @rule(key=KEYS)
    def ask(self, key: int) -> None:
        expected = self.model.get(key) or TokenBucket(0.5, 3)
        assert self.table.wait_s(key, self.now_s, 3) == expected.wait_s(self.now_s, 3)

    @invariant()
    def evicts_the_same_and_is_bounded(self) -> None:
        assert self.table.evicted == self.evicted
        assert len(self.model) <= len(self.table) <= self.KEYS_MAX


TestRateTable = RateTableMachine.TestCase
TestRateTable.settings = settings(deadline=None, max_examples=200, stateful_step_count=40)


def test_no_take_pays_for_all_that_have_become_idle() -> None:
    table: RateTable[int] = RateTable(rate_per_s=1000, burst=1, keys_max=10_000)
    for key in range(5000):
        table.take(key, 0.0)
    sizes = [len(table)]
    for step in range(6000):
        table.take(-1, 10.0 + step)
        sizes.append(len(table))
    falls = [before - after for before, after in pairwise(sizes)]
    assert max(falls) == 2
    assert sizes[-1] == 1
