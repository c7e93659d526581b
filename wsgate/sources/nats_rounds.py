"""Round the servers of a list, without end: each connection lives until it is lost."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from random import Random

from wsgate.backoff import full_jitter
from wsgate.sources.nats_limits import NatsLimits
from wsgate.sources.nats_login import Address


async def go_round(
    addresses: Sequence[Address],
    live_through: Callable[[Address], Awaitable[float]],
    limits: NatsLimits,
    random: Random,
) -> None:
    """``live_through``: one connection from beginning to end; how many seconds it lasted."""
    # Gateways that start together spread over the servers.
    addresses = random.sample(addresses, len(addresses))
    failures = 0
    for address in itertools.cycle(addresses):
        lasted_s = await live_through(address)
        failures = 0 if lasted_s >= limits.steady_s else failures + 1
        # A whole round of the list is one failure: the second server must not wait for the sins
        # of the first.
        delay_s = full_jitter(
            failures // len(addresses),
            base_s=limits.backoff_base_s,
            cap_s=limits.backoff_cap_s,
            random=random,
        )
        await asyncio.sleep(delay_s)
