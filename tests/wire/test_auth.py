"""Who may come in, how long they may stay, and what they get: tokens over real sockets."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest

from tests.support.gateway import local_gateway
from tests.support.guarded import (
    EVENT,
    STATE,
    TRENDING,
    ask,
    entered,
    expired,
    forged,
    gateway_time,
    good,
    guarded,
    insider,
    posting,
    replies,
    shut_out,
)
from tests.support.loop import on_loop


def offer(text: str) -> dict[str, str]:
    return {"Sec-WebSocket-Protocol": f"wsgate.v1, wsgate.auth.{text}"}


# The ways in


@on_loop
async def test_a_token_in_the_url() -> None:
    async with guarded() as gateway:
        client = await insider(gateway, STATE, "global.*")
        gateway.publish(STATE, 1)
        assert (await client.message())["data"] == 1


@on_loop
async def test_a_token_as_a_subprotocol_is_never_selected() -> None:
    async with guarded() as gateway:
        client, answer = await ask(gateway, "/", offer(good()))
        assert (answer.status, answer.headers["sec-websocket-protocol"]) == (101, "wsgate.v1")
        assert "errors" not in await client.subscribe(STATE)


@on_loop
async def test_a_token_as_the_first_command() -> None:
    async with guarded() as gateway:
        client = await gateway.connect()
        await client.say("ping", id="before")
        await client.say("auth", token=good(exp=2_000_000_000), id=1)
        await client.say("subscribe", channels=[STATE], id=2)
        _, authorized, subscribed = await replies(client, "pong", "authorized", "subscribed")
        assert authorized == {"type": "authorized", "id": 1, "expires": 2_000_000_000}
        assert list(subscribed["channels"]) == [STATE]


@on_loop
async def test_a_token_without_an_end() -> None:
    async with guarded(ws_auth_timeout_s=0.5) as gateway:
        client = await gateway.connect()
        await client.say("auth", token=good(exp=None), id=1)
        assert await client.message() == {"type": "authorized", "id": 1}
        await gateway_time(0.6)
        assert await client.settle() == []


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        (forged(), 4501, "bad_token"),
        ("", 4501, "bad_token"),
        ("nonsense", 4501, "bad_token"),
        (expired(), 4401, "token_expired"),
    ],
)
@pytest.mark.parametrize("way", ["url", "subprotocol"])
@on_loop
async def test_a_token_that_is_no_good_is_let_in_and_told(
    way: str, text: str, code: int, reason: str
) -> None:
    async with guarded() as gateway:
        path, headers = (f"/?auth={text}", {}) if way == "url" else ("/", offer(text))
        client = await entered(gateway, path, headers)
        assert await shut_out(client, code, reason) == []
        assert gateway.hub.closed_by_reason == {reason: 1}


@pytest.mark.parametrize(
    ("text", "code", "reason", "why"),
    [
        (forged(), 4501, "bad_token", "the token was refused: signature"),
        (expired(), 4401, "token_expired", "the token has expired"),
    ],
)
@on_loop
async def test_a_first_command_with_a_token_that_is_no_good(
    text: str, code: int, reason: str, why: str
) -> None:
    async with guarded() as gateway:
        client = await gateway.connect()
        await client.say("auth", token=text, id=1)
        await client.say("auth", token=good(), id=2)
        assert await shut_out(client, code, reason) == [
            {"type": "error", "id": 1, "code": "auth_failed", "message": why}
        ]


@on_loop
async def test_who_does_not_say_who_it_is_has_to_go() -> None:
    async with guarded(ws_auth_timeout_s=0.5) as gateway:
        client = await gateway.connect()
        await client.say("ping")
        assert await shut_out(client, 4402, "auth_timeout") == [{"type": "pong"}]


@on_loop
async def test_without_a_token_there_is_nothing_but_ping() -> None:
    async with guarded() as gateway:
        client = await gateway.connect()
        for kind in ("subscribe", "unsubscribe"):
            await client.say(kind, channels=[STATE], id=kind)
            (error,) = await replies(client, "error")
            assert (error["code"], error["id"]) == ("auth_required", kind)
        assert gateway.core.index.subscriptions == 0
        assert await client.settle() == []


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (f"/?auth={good()}&ticket=x", {}),
        (f"/?auth={good()}&auth={good()}", {}),
        (f"/?auth={good()}", offer(good())),
    ],
)
@on_loop
async def test_two_credentials_are_one_too_many(path: str, headers: Mapping[str, str]) -> None:
    async with guarded() as gateway:
        _, answer = await ask(gateway, path, headers)
        assert answer.status == 400
        assert b"the request has 2 credentials; give one" in answer.body
        assert good().encode() not in answer.body
        assert gateway.app.upgrade.refused == {"credentials": 1}


@on_loop
async def test_a_gateway_that_asks_nobody() -> None:
    async with local_gateway() as gateway:
        client = await entered(gateway, "/?auth=whatever&ticket=whatever")
        await client.say("auth", token=good(), id=1)
        (error,) = await replies(client, "error")
        assert (error["code"], error["id"]) == ("not_supported", 1)
        assert "errors" not in await client.subscribe(STATE)
        async with posting(gateway, good()) as answer:
            assert answer.status == 404
            assert "WS_AUTH was none" in (await answer.json())["error"]


# Origins


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://site.example", 101),
        ("https://elsewhere.example", 403),
        ("null", 403),
        (None, 101),
    ],
)
@on_loop
async def test_pages_of_other_sites_stay_outside(origin: str | None, status: int) -> None:
    async with local_gateway(ws_allowed_origins=["https://site.example"]) as gateway:
        _, answer = await ask(gateway, "/", {} if origin is None else {"Origin": origin})
        assert answer.status == status
        assert gateway.app.upgrade.refused == ({} if status == 101 else {"origin": 1})


# Staying


@on_loop
async def test_the_end_of_a_token_is_the_end_of_the_connection_after_what_is_owed() -> None:
    async with guarded(ws_flush_window_ms=10_000) as gateway:
        ends_s = time.time() + 1
        client = await insider(gateway, EVENT, STATE, exp=ends_s)
        gateway.publish(EVENT, "opens the window")
        await client.message()
        gateway.publish(EVENT, "owed")
        gateway.publish(STATE, "owed too")
        owed = await shut_out(client, 4401, "token_expired")
        assert [one["data"] for one in owed] == ["owed", "owed too"]
        assert time.time() >= ends_s


@on_loop
async def test_a_renewal_moves_the_end() -> None:
    async with guarded() as gateway:
        ends_s = time.time() + 1
        client = await insider(gateway, STATE, exp=ends_s)
        await client.say("auth", token=good(exp=2_000_000_000), id=1)
        assert (await client.message())["expires"] == 2_000_000_000
        await gateway_time(ends_s - time.time() + 0.1)
        gateway.publish(STATE, 1)
        assert (await client.message())["data"] == 1


@pytest.mark.parametrize("ends", [None, "soon"])
@on_loop
async def test_the_newest_token_says_when_it_ends(ends: str | None) -> None:
    """Later, earlier, or never: the timer of the token before it decides nothing."""
    async with guarded() as gateway:
        first_ends_s = time.time() + 1
        client = await insider(gateway, STATE, exp=first_ends_s)
        await client.say("auth", token=good(exp=None))
        await replies(client, "authorized")
        if ends is not None:
            await client.say("auth", token=good(exp=time.time() + 0.5))
            assert [one["type"] for one in await shut_out(client, 4401, "token_expired")] == [
                "authorized"
            ]
            return
        await gateway_time(first_ends_s - time.time() + 0.1)
        assert await client.settle() == []


@on_loop
async def test_another_subject_is_no_renewal() -> None:
    async with guarded() as gateway:
        client = await insider(gateway, STATE)
        await client.say("auth", token=good(sub="user-2"), id=1)
        (error,) = await replies(client, "error")
        assert error == {
            "type": "error",
            "id": 1,
            "code": "auth_failed",
            "message": "the token is for another subject",
        }
        (connection,) = gateway.connections
        assert connection.session.identity is not None
        assert connection.session.identity.subject == "user-1"
        assert "errors" not in await client.subscribe(TRENDING)


@pytest.mark.parametrize("text", [forged(), expired(), "nonsense"])
@on_loop
async def test_a_bad_renewal_leaves_the_old_token_in_force(text: str) -> None:
    async with guarded() as gateway:
        ends_s = time.time() + 1
        client = await insider(gateway, STATE, exp=ends_s)
        await client.say("auth", token=text, id=1)
        (error,) = await replies(client, "error")
        assert (error["code"], error["id"]) == ("auth_failed", 1)
        assert error["message"].endswith("; the old one stays in force")
        assert "errors" not in await client.subscribe(TRENDING)
        await shut_out(client, 4401, "token_expired")
        assert time.time() >= ends_s


@on_loop
async def test_a_narrower_renewal_ends_what_it_does_not_permit() -> None:
    async with guarded(ws_flush_window_ms=10_000) as gateway:
        client = await insider(gateway, STATE, "token.*.comment", TRENDING, "global.>")
        gateway.publish(EVENT, "opens the window")
        await client.message()
        gateway.publish(EVENT, "never arrives")
        gateway.publish(TRENDING, "arrives still")
        await client.say("auth", token=good(channels=["token.*.update", TRENDING]), id=1)
        authorized, unsubscribed = await replies(client, "authorized", "unsubscribed")
        assert authorized["id"] == 1 and "id" not in unsubscribed
        assert sorted(unsubscribed["channels"]) == ["global.>", "token.*.comment"]
        reply = await client.subscribe(STATE, EVENT, TRENDING)
        assert reply["errors"].keys() == {EVENT}
        assert (await client.message())["data"] == "arrives still"
        await client.say("auth", token=good(channels=["token.*.update", TRENDING]), id=2)
        assert [one["type"] for one in await client.settle()] == ["authorized"]


# What is permitted


@on_loop
async def test_a_subscription_needs_one_pattern_that_covers_it_whole() -> None:
    async with guarded() as gateway:
        await insider(gateway, TRENDING, EVENT)  # known to the core from now on
        narrow = good(channels=["token.abc.*", "token.*.update"])
        client = await entered(gateway, f"/?auth={narrow}")
        names = [
            STATE,
            EVENT,
            TRENDING,
            "global.>",
            "token.*.update",
            "token.*.comment",
            "x",
            "a b",
        ]
        reply = await client.subscribe(*names)
        assert list(reply["channels"]) == [STATE, EVENT, "token.*.update"]
        assert {name: error["code"] for name, error in reply["errors"].items()} == {
            TRENDING: "not_permitted",
            "global.>": "not_permitted",
            "token.*.comment": "not_permitted",
            "x": "unknown_channel",
            "a b": "bad_channel",
        }
        gateway.publish(TRENDING, "not for it")
        gateway.publish("token.xyz.comment", "nor this")
        gateway.publish(STATE, "for it")
        assert [one["data"] for one in await client.settle()] == ["for it"]


@pytest.mark.parametrize(("default", "permitted"), [("all", True), ("none", False)])
@on_loop
async def test_a_token_that_names_no_channels(default: str, permitted: bool) -> None:
    async with guarded(ws_jwt_channels_default=default) as gateway:
        client = await entered(gateway, f"/?auth={good(channels=None)}")
        assert ("errors" in await client.subscribe(STATE)) is not permitted
