"""Connections that have lived as long as they may are sent elsewhere."""

from __future__ import annotations

import asyncio

from tests.support.client import Client
from tests.support.gateway import local_gateway
from tests.support.loop import on_loop
from wsgate.protocol import CloseCode

EVENT = "token.abc.comment"


@on_loop
async def test_who_is_too_old_is_sent_away_with_what_he_is_owed() -> None:
    async with local_gateway(limits={"connection_age_max_s": 0.5}) as gateway:
        client = await gateway.subscriber(EVENT)
        gateway.publish(EVENT, "last")
        received, close = await client.until_close(answer=True)
        kinds = [one.message["type"] for one in received]
        assert sorted(kinds) == ["reconnect", "token_comment"]
        (told,) = [one.message for one in received if one.message["type"] == "reconnect"]
        assert told == {"type": "reconnect", "after_ms": 0}
        assert (close.close_code, close.close_reason) == (1012, "service_restart")
        await gateway.until_empty()
        assert gateway.hub.closed_by_reason == {"aged": 1}


@on_loop
async def test_who_came_together_is_not_sent_away_together() -> None:
    async with local_gateway(limits={"connection_age_max_s": 0.5}) as gateway:
        clients = [await gateway.connect() for _ in range(20)]

        async def closed_at_s(client: Client) -> float:
            await client.until_close(answer=True)
            return asyncio.get_running_loop().time()

        times_s = await asyncio.gather(*map(closed_at_s, clients))
        assert max(times_s) - min(times_s) > 0.05, "of 0.2 that they may be apart"


@on_loop
async def test_an_end_that_comes_first_is_not_held_up_by_it() -> None:
    """The same timer is for both."""
    async with local_gateway(
        limits={"connection_age_max_s": 60.0, "close_timeout_s": 0.2}
    ) as gateway:
        await gateway.connect()
        (connection,) = gateway.connections
        gateway.hub.lock_out(connection, CloseCode.TOKEN_EXPIRED)  # and the client does not answer
        await gateway.until_empty()
