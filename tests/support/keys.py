"""A source of keys that runs, and keys to find in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from tests.support.issuer import SECRET
from tests.support.log import Log
from wsgate.auth.keys import KeySource
from wsgate.auth.keyset import Key, KeySet
from wsgate.auth.limits import KeyLimits
from wsgate.auth.origins import Origin

FOR_EVER_S = 1e6
FAST = KeyLimits(
    refresh_interval_s=0.01,
    file_check_interval_s=0.01,
    unknown_key_interval_s=0.01,
    fetch_timeout_s=5.0,
    backoff_base_s=0.001,
    backoff_cap_s=0.01,
)
# Loads by itself only once: whatever comes after was asked for.
ASKED_ONLY = KeyLimits(
    refresh_interval_s=FOR_EVER_S, unknown_key_interval_s=0.01, fetch_timeout_s=5.0
)


@asynccontextmanager
async def running(
    origin: Origin, limits: KeyLimits = FAST, log: Log | None = None
) -> AsyncIterator[KeySource]:
    log = log or Log()
    source = KeySource(origin, limits=limits, random=Random(1), log=log.logger)
    await source.start()
    try:
        yield source
    finally:
        await source.stop()
        assert not [one for one in asyncio.all_tasks() if one.get_name() == "auth-keys"]


def names(source: KeySource) -> list[str | None]:
    return [key.kid for key in source.keys.keys]


def key_set(*kids: str) -> KeySet:
    return KeySet([Key("HS256", SECRET, kid) for kid in kids])
