"""The wheel: a deadline comes once, never early, and at most a tick late."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from wsgate.core.wheel import Wheel

TICK_MS = 16
TURN_MS = 2048 * TICK_MS

waits = st.one_of(st.integers(0, 100), st.integers(0, 3 * TURN_MS))
steps = st.one_of(st.integers(0, 40), st.integers(0, TURN_MS), st.just(5 * TURN_MS + 3))


class WheelAgainstDict(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 1_000_003
        self.wheel = Wheel(self.now_ms)
        self.model: dict[int, int] = {}

    @rule(node=st.integers(0, 30), wait_ms=waits)
    def schedule(self, node: int, wait_ms: int) -> None:
        self.wheel.schedule(node, self.now_ms + wait_ms)
        self.model[node] = self.now_ms + wait_ms

    @rule(node=st.integers(0, 30))
    def schedule_in_the_past(self, node: int) -> None:
        self.wheel.schedule(node, self.now_ms - 500)
        self.model[node] = self.now_ms

    @rule(node=st.integers(0, 40))
    def cancel(self, node: int) -> None:
        self.wheel.cancel(node)
        self.model.pop(node, None)

    @rule(step_ms=steps)
    def expire(self, step_ms: int) -> None:
        self.now_ms += step_ms
        due = self.wheel.expire(self.now_ms)
        assert len(due) == len(set(due)), "each once"
        for node in due:
            assert self.model.pop(node) <= self.now_ms, "never early"
        late = {n: due_ms for n, due_ms in self.model.items() if due_ms + TICK_MS <= self.now_ms}
        assert not late, "at most a tick late"

    @rule(step_ms=st.integers(1, 1000))
    def expire_at_an_earlier_time(self, step_ms: int) -> None:
        for node in self.wheel.expire(max(0, self.now_ms - step_ms)):
            assert self.model.pop(node) <= self.now_ms

    @invariant()
    def counts_what_is_scheduled(self) -> None:
        assert self.wheel.scheduled == len(self.model)


TestWheelAgainstDict = WheelAgainstDict.TestCase
TestWheelAgainstDict.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)


@given(st.integers(0, 10**9), st.integers(1, 4 * TURN_MS))
@settings(deadline=None)
def test_fires_within_a_tick_of_its_deadline(start_ms: int, wait_ms: int) -> None:
    wheel = Wheel(start_ms)
    wheel.schedule(5, start_ms + wait_ms)
    assert wheel.expire(start_ms + wait_ms - 1) == []
    assert wheel.expire(start_ms + wait_ms + TICK_MS) == [5]
    assert wheel.expire(start_ms + wait_ms + 10 * TURN_MS) == []


def test_a_later_deadline_replaces_the_earlier() -> None:
    wheel = Wheel(0)
    wheel.schedule(1, 100)
    wheel.schedule(1, 500)
    assert wheel.expire(300) == []
    assert wheel.expire(516) == [1]


def test_many_in_one_tick_all_come() -> None:
    wheel = Wheel(0)
    for node in range(1000):
        wheel.schedule(node, 50)
    for node in range(0, 1000, 2):
        wheel.cancel(node)
    assert sorted(wheel.expire(64)) == list(range(1, 1000, 2))


def test_cancelling_nothing_does_nothing() -> None:
    wheel = Wheel(0)
    wheel.cancel(0)
    wheel.cancel(12345)
    wheel.schedule(0, 10)
    wheel.cancel(0)
    wheel.cancel(0)
    assert wheel.scheduled == 0
    assert wheel.expire(1000) == []


def test_a_deadline_of_another_turn_waits_for_its_own() -> None:
    """Both stand in the same bucket."""
    wheel = Wheel(0)
    wheel.schedule(1, 160)
    wheel.schedule(2, 160 + TURN_MS)
    assert wheel.expire(1000) == [1]
    assert wheel.expire(TURN_MS + 100) == []
    assert wheel.expire(TURN_MS + 176) == [2]
