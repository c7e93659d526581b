from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvloop

from tests.support.made_up_loop import MadeUpLoop
from wsgate import stalls as module
from wsgate.stalls import Stalls


@contextmanager
def watching() -> Iterator[Stalls]:
    stalls = Stalls(asyncio.get_running_loop())
    stalls.start()
    try:
        yield stalls
    finally:
        stalls.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def test_a_blocked_loop_shows_in_the_lag() -> None:
    async def test() -> None:
        with watching() as stalls:
            await until(lambda: stalls.lag.count > 0)
            before = stalls.lag.sum
            time.sleep(module.LOOK_INTERVAL_S + 0.3)
            await until(lambda: stalls.lag.sum > before + 0.29)
            assert sum(stalls.lag.counts[stalls.lag.bounds.index(0.2) + 1 :]) >= 1

    uvloop.run(test())


def test_each_collection_is_counted_by_its_generation() -> None:
    async def test() -> None:
        with watching() as stalls:
            counts = [pauses.count for pauses in stalls.pauses]
            gc.collect(2)
            gc.collect(2)
            gc.collect(1)
            assert stalls.pauses[2].count >= counts[2] + 2
            assert stalls.pauses[1].count >= counts[1] + 1
            assert 0 < stalls.pauses[2].sum < 60

    uvloop.run(test())


def test_nothing_is_observed_after_a_stop() -> None:
    callbacks = list(gc.callbacks)
    loop = MadeUpLoop()
    stalls = Stalls(loop)  # type: ignore[arg-type]
    stalls.start()
    assert len(gc.callbacks) == len(callbacks) + 1
    loop.round(after_s=module.LOOK_INTERVAL_S)
    assert stalls.lag.count == 1
    stalls.stop()
    assert gc.callbacks == callbacks
    stalls.stop()  # again, which does nothing
    collected = stalls.pauses[2].count
    gc.collect()
    loop.round(after_s=2 * module.LOOK_INTERVAL_S)
    assert [stalls.lag.count, stalls.pauses[2].count] == [1, collected]
