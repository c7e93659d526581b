"""Revocation: who is cut off, and stays outside until there is a newer token."""

from __future__ import annotations

import time

from structlog.testing import capture_logs

from tests.support.guarded import (
    STATE,
    TRENDING,
    entered,
    good,
    guarded,
    insider,
    posting,
    shut_out,
)
from tests.support.loop import on_loop


@on_loop
async def test_who_is_cut_off_stays_outside_until_there_is_a_newer_token() -> None:
    async with guarded() as gateway:
        old = good()
        cut = [await entered(gateway, f"/?auth={old}") for _ in range(2)]
        other = await insider(gateway, STATE, sub="user-2")
        await cut[0].subscribe(STATE)
        async with posting(gateway, old) as answer:
            ticket = (await answer.json())["ticket"]
        gateway.hub.control("wsgate.control.revoke", b'{"subject":"user-1"}')
        gateway.publish(STATE, "only for the other")
        for client in cut:
            assert await shut_out(client, 4503, "token_revoked") == []
        assert (await other.message())["data"] == "only for the other"
        for path in (f"/?auth={old}", f"/?ticket={ticket}"):
            assert await shut_out(await entered(gateway, path), 4503, "token_revoked") == []
        async with posting(gateway, old) as answer:
            assert answer.status == 401
        await insider(gateway, STATE, iat=int(time.time()))
        assert gateway.app.authenticator is not None
        counts = gateway.app.authenticator.snapshot()
        assert (counts["revocations"], counts["refused_revoked"]) == (1, 3)


@on_loop
async def test_a_revocation_of_many_at_once() -> None:
    async with guarded() as gateway:
        clients = {sub: await insider(gateway, STATE, sub=sub) for sub in ("a", "b", "c")}
        gateway.hub.control("wsgate.control.revoke", b'{"subjects":["a","c","nobody"]}')
        for subject in ("a", "c"):
            await shut_out(clients[subject], 4503, "token_revoked")
        assert await clients["b"].settle() == []


@on_loop
async def test_nonsense_is_counted_and_logged_once_in_a_while() -> None:
    with capture_logs() as logged:
        async with guarded() as gateway:
            client = await insider(gateway, STATE)
            for payload in (b"{", b'{"subject":""}', b'{"subjects":[7]}'):
                gateway.hub.control("wsgate.control.revoke", payload)
            gateway.hub.control("wsgate.control.elsewhere", b'{"subject":"user-1"}')
            assert gateway.hub.controls_refused == 4
            assert await client.settle() == []
    (line,) = (one for one in logged if one["event"] == "control message refused")
    assert (line["error"], line["subject"]) == ("it is not JSON", "wsgate.control.revoke")


@on_loop
async def test_who_was_cut_off_says_nothing_more() -> None:
    """Its CLOSE is out, and it talks on: that changes nothing."""
    async with guarded() as gateway:
        client = await insider(gateway, STATE)
        (connection,) = gateway.connections
        gateway.hub.revoke(["user-1"])
        await client.say("auth", token=good(iat=int(time.time())))
        await client.say("subscribe", channels=[TRENDING])
        assert gateway.hub.revoke(["user-1"]) == 0, "once is enough"
        assert await shut_out(client, 4503, "token_revoked") == []
        await gateway.until_empty()
        assert gateway.app.authenticator is not None
        assert gateway.app.authenticator.accepted == 1
        assert connection.end_reason == "token_revoked"
