"""When keys are loaded: for whom, how often, and what comes of a load that fails."""

from __future__ import annotations

import asyncio
import socket
from random import Random

import pytest

from tests.support.feed import until
from tests.support.keys import ASKED_ONLY, FAST, FOR_EVER_S, key_set, names, running
from tests.support.log import Log
from tests.support.loop import on_loop
from wsgate.auth.jwks_url import JwksUrl
from wsgate.auth.keys import KeySource
from wsgate.auth.keyset import KeySet, KeysUnusable
from wsgate.auth.limits import KeyLimits


class Loads:
    """An origin whose loads a test ends one by one."""

    name = "test"
    remote = True

    def __init__(self) -> None:
        self.begun = 0
        self._pending: asyncio.Future[KeySet | None] | None = None

    def interval_s(self, limits: KeyLimits) -> float | None:
        return limits.refresh_interval_s

    async def load(self, limits: KeyLimits) -> KeySet | None:
        self.begun += 1
        self._pending = asyncio.get_running_loop().create_future()
        return await self._pending

    async def end(self, outcome: KeySet | Exception | None) -> None:
        """Of the load under way, as soon as there is one."""
        await until(lambda: self._pending is not None, "a load")
        pending, self._pending = self._pending, None
        assert pending is not None
        if isinstance(outcome, Exception):
            pending.set_exception(outcome)
        else:
            pending.set_result(outcome)


@on_loop
async def test_a_refresh_is_a_load_that_begins_after_it_was_asked_for() -> None:
    origin = Loads()
    async with running(origin) as source:
        await until(lambda: origin.begun == 1)
        asked = asyncio.create_task(source.refresh())
        await asyncio.sleep(0)
        await origin.end(key_set("old"))
        await until(lambda: origin.begun == 2)
        assert not asked.done()
        await origin.end(key_set("new"))
        assert await asked
        assert names(source) == ["new"]


@on_loop
async def test_all_who_miss_a_key_share_one_load() -> None:
    origin = Loads()
    async with running(origin, ASKED_ONLY) as source:
        await origin.end(key_set("a"))
        await until(lambda: source.ready)
        crowd = [asyncio.create_task(source.refresh_for_unknown_key()) for _ in range(100)]
        await until(lambda: origin.begun == 2)
        assert source.snapshot()["waiting"] == 100
        await origin.end(key_set("a", "b"))
        assert all(await asyncio.gather(*crowd))
        assert (origin.begun, source.snapshot()["waiting"]) == (2, 0)


@on_loop
async def test_a_load_under_way_will_do_if_it_brings_something_new() -> None:
    origin = Loads()
    limits = KeyLimits(unknown_key_interval_s=FOR_EVER_S)
    async with running(origin, limits) as source:
        await until(lambda: origin.begun == 1)
        missed = asyncio.create_task(source.refresh_for_unknown_key())
        await until(lambda: source.snapshot()["waiting"] == 1)
        await origin.end(key_set("a"))
        assert await missed
        assert origin.begun == 1


@on_loop
async def test_a_load_under_way_that_brings_nothing_new_is_followed_by_another() -> None:
    origin = Loads()
    async with running(origin, ASKED_ONLY) as source:
        await origin.end(key_set("a"))
        await until(lambda: source.ready)
        forced = asyncio.create_task(source.refresh())
        await until(lambda: origin.begun == 2)
        missed = asyncio.create_task(source.refresh_for_unknown_key())
        await until(lambda: source.snapshot()["waiting"] == 1)
        await origin.end(None)
        assert await forced
        await until(lambda: origin.begun == 3)
        assert not missed.done()
        await origin.end(None)
        assert await missed


@on_loop
async def test_loads_for_unknown_keys_keep_their_distance() -> None:
    origin = Loads()
    limits = KeyLimits(refresh_interval_s=FOR_EVER_S, unknown_key_interval_s=0.2)
    loop = asyncio.get_running_loop()
    async with running(origin, limits) as source:
        begun_s = loop.time()
        for number in range(1, 4):
            await until(lambda number=number: origin.begun == number)
            # The one at the start, too, counts: nobody brings about a load right after it.
            assert loop.time() - begun_s >= 0.2 * (number - 1) - 0.01
            await origin.end(key_set(str(number)))
            await until(lambda number=number: names(source) == [str(number)])
            asked = asyncio.create_task(source.refresh_for_unknown_key())
            await until(lambda: source.snapshot()["waiting"] == 1)
        await origin.end(None)
        assert await asked


@on_loop
async def test_not_everybody_may_wait() -> None:
    origin = Loads()
    limits = KeyLimits(unknown_key_interval_s=FOR_EVER_S, unknown_key_waiters_max=2)
    async with running(origin, limits) as source:
        await origin.end(key_set("a"))
        await until(lambda: source.ready)
        two = [asyncio.create_task(source.refresh_for_unknown_key()) for _ in range(2)]
        await until(lambda: source.snapshot()["waiting"] == 2)
        assert not await source.refresh_for_unknown_key()
        assert source.snapshot()["turned_away"] == 1
        # One that leaves makes room, and ends nobody else's waiting.
        two[0].cancel()
        await asyncio.wait(two[:1])
        assert source.snapshot()["waiting"] == 1
        assert not two[1].done()
    assert await two[1] is False, "told so when the source stops"


@on_loop
async def test_who_waits_for_a_load_that_fails_is_told() -> None:
    origin = Loads()
    async with running(origin, ASKED_ONLY) as source:
        await origin.end(key_set("a"))
        await until(lambda: source.ready)
        asked = asyncio.create_task(source.refresh_for_unknown_key())
        await origin.end(KeysUnusable("because"))
        assert await asked is False
        assert names(source) == ["a"]


@on_loop
async def test_a_stop_in_the_middle_of_a_load() -> None:
    origin = Loads()
    async with running(origin) as source:
        await until(lambda: origin.begun == 1)
        missed = asyncio.create_task(source.refresh_for_unknown_key())
        await until(lambda: source.snapshot()["waiting"] == 1)
    assert await missed is False
    assert not await source.refresh()
    await source.stop()
    await source.start()
    await until(lambda: origin.begun == 2)
    await source.stop()


@on_loop
async def test_whatever_an_origin_raises_is_only_a_failure() -> None:
    origin, log = Loads(), Log()
    async with running(origin, FAST, log) as source:
        await origin.end(RuntimeError("with some secret in it"))
        await origin.end(key_set("a"))
        await until(lambda: source.ready)
        (entry,) = log.of("auth_keys_failed")
        assert entry["error"] == "RuntimeError"


@on_loop
async def test_a_log_that_fails_ends_nothing() -> None:
    class Broken:
        def bind(self, **details: object) -> Broken:
            return self

        def info(self, event: str, **details: object) -> None:
            raise OSError

        warning = info

    origin = Loads()
    source = KeySource(origin, limits=FAST, log=Broken())  # type: ignore[arg-type]
    await source.start()
    await origin.end(KeysUnusable("because"))
    await origin.end(key_set("a"))
    await until(lambda: source.ready)
    await source.stop()


@on_loop
async def test_refreshes_and_retries_are_spread() -> None:
    """The delays themselves, by a clock that is asked and not waited for."""
    loop = asyncio.get_running_loop()
    limits = KeyLimits(refresh_interval_s=100.0, backoff_base_s=1.0, backoff_cap_s=8.0)
    source = KeySource(Loads(), limits=limits, random=Random(1), log=Log().logger)
    waits_s = [source._after_success() - loop.time() for _ in range(500)]
    assert 90 <= min(waits_s) < 91 and 109 < max(waits_s) <= 110.1
    for failures, ceiling_s in [(1, 1.0), (2, 2.0), (4, 8.0), (5, 8.0), (10**6, 8.0)]:
        source._failures_in_a_row = failures
        waits_s = [source._after_failure() - loop.time() for _ in range(500)]
        assert min(waits_s) < 0.05 * ceiling_s and 0.95 * ceiling_s < max(waits_s) <= ceiling_s


@on_loop
async def test_an_address_where_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(KeysUnusable, match="no connection"):
            await JwksUrl(f"http://127.0.0.1:{port}/").load(FAST)
