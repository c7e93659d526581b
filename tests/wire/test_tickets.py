"""Tickets: what a backend gets for a token, and lets a client in once."""

from __future__ import annotations

import time

import pytest

from tests.support.guarded import (
    STATE,
    TRENDING,
    entered,
    expired,
    forged,
    gateway_time,
    good,
    guarded,
    posting,
    shut_out,
)
from tests.support.loop import on_loop


@on_loop
async def test_a_ticket_lets_one_in_once() -> None:
    async with guarded() as gateway:
        async with posting(gateway, good(channels=[STATE])) as answer:
            assert answer.status == 201
            assert answer.headers["Cache-Control"] == "no-store"
            ticket = (await answer.json())["ticket"]
            assert (await answer.json())["expires_in"] == 30
        client = await entered(gateway, f"/?ticket={ticket}")
        reply = await client.subscribe(STATE, TRENDING)
        assert list(reply["channels"]) == [STATE], "it permits what the token did"
        assert reply["errors"][TRENDING]["code"] == "not_permitted"
        again = await entered(gateway, f"/?ticket={ticket}")
        assert await shut_out(again, 4501, "bad_token") == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "give the client's token, as Authorization: Bearer <token>"),
        ("", "give the client's token, as Authorization: Bearer <token>"),
        (forged(), "the token was refused: signature"),
        (expired(), "the token has expired"),
    ],
)
@on_loop
async def test_no_ticket_without_a_good_token(text: str | None, why: str) -> None:
    async with guarded() as gateway, posting(gateway, text) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert await answer.json() == {"error": why}


@on_loop
async def test_a_ticket_that_is_too_old() -> None:
    async with guarded(ws_ticket_ttl_s=0.01) as gateway:
        async with posting(gateway, good()) as answer:
            ticket = (await answer.json())["ticket"]
        await gateway_time(0.05)
        client = await entered(gateway, f"/?ticket={ticket}")
        await shut_out(client, 4501, "bad_token")


@on_loop
async def test_a_ticket_lasts_no_longer_than_its_token() -> None:
    async with guarded() as gateway:
        async with posting(gateway, good(exp=time.time() + 1)) as answer:
            ticket = (await answer.json())["ticket"]
        client = await entered(gateway, f"/?ticket={ticket}")
        await client.subscribe(STATE)
        await shut_out(client, 4401, "token_expired")
