"""IdSet: a set that remembers the order in which its ids came."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from wsgate.core.idset import IdSet

SMALL = 16  # up to here there is no hash table

# Few ids, so that they meet again; and some of the greatest, where arithmetic could overflow.
ids = st.one_of(st.integers(0, 40), st.integers(2**32 - 20, 2**32 - 2))


def filled(count: int) -> IdSet:
    found = IdSet()
    for id in range(count):
        found.add(id)
    return found


class IdSetAgainstDict(RuleBasedStateMachine):
    """A dict keeps the order of insertion too."""

    def __init__(self) -> None:
        super().__init__()
        self.real = IdSet()
        self.model: dict[int, None] = {}

    @rule(many=st.lists(ids, max_size=30))
    def add(self, many: list[int]) -> None:
        for id in many:
            assert self.real.add(id) == (id not in self.model)
            self.model[id] = None

    @rule(id=ids)
    def discard(self, id: int) -> None:
        assert self.real.discard(id) == (id in self.model)
        self.model.pop(id, None)

    @rule(many=st.lists(ids, max_size=30, unique=True))
    def discard_all(self, many: list[int]) -> None:
        self.real.discard_all(many)
        for id in many:
            self.model.pop(id, None)

    @rule(count=st.integers(0, 50))
    def take(self, count: int) -> None:
        expected = list(self.model)[:count]
        assert self.real.take(count) == expected
        for id in expected:
            del self.model[id]

    @rule(id=ids)
    def look_for(self, id: int) -> None:
        assert (id in self.real) == (id in self.model)

    @invariant()
    def is_the_same(self) -> None:
        assert list(self.real) == list(self.model)
        assert len(self.real) == len(self.model)


TestIdSetAgainstDict = IdSetAgainstDict.TestCase
TestIdSetAgainstDict.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


@pytest.mark.parametrize("count", [0, 1, SMALL - 1, SMALL, SMALL + 1, 1000])
def test_first_in_is_first_out(count: int) -> None:
    assert filled(count).take(count) == list(range(count))


@pytest.mark.parametrize("count", [1, SMALL, SMALL + 1, 1000])
def test_what_was_removed_is_not_in(count: int) -> None:
    found = filled(count)
    for id in range(0, count, 2):
        assert found.discard(id)
    assert [id in found for id in range(count)] == [id % 2 == 1 for id in range(count)]
    assert list(found) == list(range(1, count, 2))


@pytest.mark.parametrize("count", [0, 1, SMALL, SMALL + 1])
def test_removing_what_is_not_in_does_nothing(count: int) -> None:
    found = filled(count)
    assert not found.discard(count)
    found.discard_all([count, count + 1])
    assert list(found) == list(range(count))


def test_adding_again_keeps_the_place() -> None:
    found = filled(3)
    assert not found.add(0)
    assert list(found) == [0, 1, 2]


def test_one_that_left_comes_back_last() -> None:
    found = filled(3)
    found.take(1)
    assert found.add(0)
    assert list(found) == [1, 2, 0]


@given(st.integers(1, 200), st.integers(1, 20))
@settings(deadline=None)
def test_a_queue_that_never_empties_stays_whole(rounds: int, kept: int) -> None:
    """What is taken at the front and added at the back: the space in front is used again."""
    found = filled(kept)
    for step in range(rounds):
        assert found.take(1) == [step]
        assert found.add(step + kept)
    assert list(found) == list(range(rounds, rounds + kept))
