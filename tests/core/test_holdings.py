"""What a connection holds, against a dict that forgets who came first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wsgate.core.holdings import Holdings
from wsgate.delta import CHANNELS_HELD_MAX

NUMBERS = st.integers(1, 2**36 - 1)
FEW = st.integers(1, 40)


@given(st.lists(st.tuples(st.one_of(FEW, NUMBERS), st.integers(0, 2**28 - 1)), max_size=200))
def test_what_was_put_last_is_held(puts: list[tuple[int, int]]) -> None:
    holdings, model = Holdings(), dict[int, int]()
    for number, generation in puts:
        assert holdings.find(number) == model.get(number)
        holdings.put(number, generation)
        model[number] = generation
        assert len(holdings) == len(model)
    for number, generation in model.items():
        assert holdings.find(number) == generation


def test_who_came_first_goes_first() -> None:
    holdings, model = Holdings(), dict[int, int]()
    for step in range(3 * CHANNELS_HELD_MAX):
        number = 1 + (step * 7919) % (2 * CHANNELS_HELD_MAX)
        holdings.put(number, step)
        model[number] = step
        if len(model) > CHANNELS_HELD_MAX:
            del model[next(iter(model))]
        assert len(holdings) == len(model)
    for number in range(1, 2 * CHANNELS_HELD_MAX + 1):
        assert holdings.find(number) == model.get(number)


def test_a_channel_that_is_put_again_keeps_its_age() -> None:
    holdings = Holdings()
    for number in range(1, CHANNELS_HELD_MAX + 1):
        holdings.put(number, 0)
    holdings.put(1, 1)
    assert holdings.find(1) == 1
    holdings.put(99_999, 0)
    assert holdings.find(1) is None
    assert holdings.find(2) == 0
    assert holdings.find(99_999) == 0
