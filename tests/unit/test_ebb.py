"""When memory is given back, and when that is not worth it."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.feed import until
from tests.support.loop import on_loop
from wsgate import ebb
from wsgate.ebb import CROWD, Ebb


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ebb, "SETTLE_S", 0.0)


async def gives_back(most: int, *left: int) -> int:
    """How often, if so many come, and then so many are left, one after the other."""
    times: list[int] = []
    tide = Ebb(lambda: times.append(1))
    for count in range(1, most + 1):
        tide.came(count)
    for count in left:
        tide.left(count)
        await asyncio.sleep(0.002)  # more than twice SETTLE_S
    tide.stop()
    return len(times)


@on_loop
async def test_half_of_a_crowd_and_half_of_the_rest() -> None:
    assert await gives_back(4 * CROWD, 3 * CROWD) == 0
    assert await gives_back(4 * CROWD, 2 * CROWD) == 1
    assert await gives_back(4 * CROWD, 2 * CROWD, CROWD + 1) == 1
    assert await gives_back(4 * CROWD, 2 * CROWD, CROWD, 0) == 3


@on_loop
async def test_it_waits_for_who_is_still_leaving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ebb, "SETTLE_S", 0.001)
    given_at: list[int] = []
    left = 2 * CROWD
    tide = Ebb(lambda: given_at.append(left))
    tide.came(left)
    while left:
        left -= 1
        tide.left(left)
        if left % 100 == 0:
            await asyncio.sleep(0)
    await until(lambda: given_at == [0], "the rest to be still")
    tide.stop()


@on_loop
async def test_a_few_are_not_worth_it() -> None:
    assert await gives_back(CROWD - 1, 0) == 0


@on_loop
async def test_a_stop_forgets_it() -> None:
    times: list[int] = []
    tide = Ebb(lambda: times.append(1))
    tide.came(CROWD)
    tide.left(0)
    tide.stop()
    await asyncio.sleep(0.002)
    assert times == []
