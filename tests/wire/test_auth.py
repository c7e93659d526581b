"""Who may come in, how long they may stay, and what they get: tokens over real sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from tests.support.client import UPGRADE, Answer, Client, request
from tests.support.feed import until
from tests.support.gateway import LocalGateway, local_gateway
from tests.support.issuer import SECRET, Issuer, jwk, jwks, token
from tests.support.loop import on_loop
from wsgate.auth.keys import KeySource
from wsgate.auth.limits import KeyLimits
from wsgate.login import WAITING_MESSAGES_MAX

STATE = "token.abc.update"
EVENT = "token.abc.comment"
TRENDING = "global.trending"
ALL = ["token.>", "global.>"]


def good(**more: Any) -> str:
    """A token signed with the secret, for everything unless told otherwise."""
    return token("HS256", **({"channels": ALL} | more))


def expired(**more: Any) -> str:
    return good(**({"exp": int(time.time()) - 3600} | more))


def forged() -> str:
    return token("HS256", "k2")


@asynccontextmanager
async def guarded(**settings: Any) -> AsyncIterator[LocalGateway]:
    defaults = {"ws_auth": "jwt", "ws_jwt_secret": SECRET.decode(), "ws_jwt_leeway_s": 0}
    async with local_gateway(**(defaults | settings)) as gateway:
        yield gateway


async def ask(
    gateway: LocalGateway, path: str = "/", headers: Mapping[str, str] | None = None
) -> tuple[Client, Answer]:
    client = await gateway.dial()
    return client, await client.ask(request(path, {**UPGRADE, **(headers or {})}))


async def entered(
    gateway: LocalGateway, path: str = "/", headers: Mapping[str, str] | None = None
) -> Client:
    client, answer = await ask(gateway, path, headers)
    assert answer.status == 101, answer
    return client


async def insider(gateway: LocalGateway, *channels: str, **claims: Any) -> Client:
    """A client that is in, and subscribed."""
    client = await entered(gateway, f"/?auth={good(**claims)}")
    reply = await client.subscribe(*channels)
    assert "errors" not in reply, reply
    return client


async def shut_out(client: Client, code: int, reason: str) -> list[Any]:
    """The messages before a CLOSE with this code."""
    received, close = await client.until_close(answer=True)
    assert (close.close_code, close.close_reason) == (code, reason)
    return [one.message for one in received]


async def replies(client: Client, *types: str) -> list[Any]:
    found = await client.messages(len(types))
    assert [one["type"] for one in found] == list(types), found
    return found


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


async def gateway_time(seconds: float) -> None:
    """Let a deadline of the gateway go by, to see that nothing comes of it."""
    await asyncio.sleep(seconds)


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
            assert "WS_AUTH=none" in (await answer.json())["error"]


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


# Keys that are not known yet


@asynccontextmanager
async def published(
    monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> AsyncIterator[tuple[LocalGateway, Issuer]]:
    """A gateway that fetches its keys, and may do so again at once."""
    quick = KeyLimits(unknown_key_interval_s=0.01, fetch_timeout_s=0.5, log_interval_s=0.01)

    def source(*args: Any) -> KeySource:
        return KeySource(*args, limits=quick)

    monkeypatch.setattr("wsgate.app.KeySource", source)
    async with Issuer(jwks(jwk("ES256"))) as issuer:
        asked = {"ws_jwt_secret": None, "ws_jwt_keys": [issuer.url]}
        async with guarded(**(asked | settings)) as gateway:
            assert gateway.app.keys is not None
            yield gateway, issuer


def of_new_key(**more: Any) -> str:
    return token("ES256", "k2", "k2", **({"channels": ALL} | more))


async def until_fetching(issuer: Issuer, before: int) -> None:
    await until(lambda: issuer.requests > before, "the keys to be asked for")


@pytest.mark.parametrize("way", ["url", "command", "renewal"])
def test_commands_wait_for_keys_in_order(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    @on_loop
    async def test() -> None:
        async with published(monkeypatch) as (gateway, issuer):
            await until(lambda: gateway.app.not_ready() == [])
            issuer.document = jwks(jwk("ES256"), jwk("ES256", "k2"))
            issuer.go.clear()
            before = issuer.requests
            if way == "url":
                client = await entered(gateway, f"/?auth={of_new_key()}")
            else:
                old = token("ES256", "k1", "k1", channels=ALL)
                path = f"/?auth={old}" if way == "renewal" else "/"
                client = await entered(gateway, path)
                await client.say("auth", token=of_new_key(), id="auth")
            await client.say("subscribe", channels=[STATE], id=1)
            await client.send_text("{")
            await client.say("ping", id=2)
            await client.say("auth", token=of_new_key(sub="user-2"), id=3)
            await client.say("unsubscribe", channels=[STATE], id=4)
            await until_fetching(issuer, before)
            await until(lambda: len(gateway.connections[-1].session.waiting or ()) == 5)
            issuer.go.set()
            types = ["subscribed", "error", "pong", "error", "unsubscribed"]
            if way != "url":
                types.insert(0, "authorized")
            found = await replies(client, *types)
            assert [one.get("id") for one in found][-5:] == [1, None, 2, 3, 4]
            assert found[-2]["code"] == "auth_failed"
            assert await client.settle() == []

    test()


def test_a_token_that_waited_may_still_be_no_good(monkeypatch: pytest.MonkeyPatch) -> None:
    @on_loop
    async def test() -> None:
        async with published(monkeypatch) as (gateway, _):
            await until(lambda: gateway.app.not_ready() == [])
            for path in (f"/?auth={of_new_key()}", "/"):
                client = await entered(gateway, path)
                if path == "/":
                    await client.say("auth", token=of_new_key(), id=1)
                await client.say("ping", id=2)
                found = await shut_out(client, 4501, "bad_token")
                assert [one["code"] for one in found] == ["auth_failed"] * (path == "/")

    test()


def test_a_second_unknown_key_waits_in_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    @on_loop
    async def test() -> None:
        async with published(monkeypatch) as (gateway, issuer):
            await until(lambda: gateway.app.not_ready() == [])
            issuer.document = jwks(jwk("ES256"), jwk("ES256", "k2"))
            client = await entered(gateway, f"/?auth={of_new_key()}")
            await client.say("auth", token=token("ES256", "k3", "k3"), id=1)
            await client.say("ping", id=2)
            error, pong = await replies(client, "error", "pong")
            assert (error["code"], error["id"], pong["id"]) == ("auth_failed", 1, 2)

    test()


@pytest.mark.parametrize("way", ["url", "command", "renewal"])
def test_keys_that_cannot_be_had(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can tell: come back later; who is in on an older token stays."""

    class Quiet(KeySource):
        """Its warnings are expected here."""

        def _say(self, level: str, event: str, **details: object) -> None:
            pass

    monkeypatch.setattr("tests.wire.test_auth.KeySource", Quiet)

    @on_loop
    async def test() -> None:
        async with published(monkeypatch) as (gateway, issuer):
            await until(lambda: gateway.app.not_ready() == [])
            issuer.status = 500
            if way == "url":
                client = await entered(gateway, f"/?auth={of_new_key()}")
                assert await shut_out(client, 1013, "try_again_later") == []
                async with posting(gateway, of_new_key()) as answer:
                    assert answer.status == 503
                return
            path = f"/?auth={token('ES256', 'k1', 'k1')}" if way == "renewal" else "/"
            client = await entered(gateway, path)
            await client.say("auth", token=of_new_key(), id=1)
            if way == "renewal":
                (error,) = await replies(client, "error")
                assert await client.settle() == []
            else:
                (error,) = await shut_out(client, 1013, "try_again_later")
            assert (error["code"], error["id"]) == ("auth_failed", 1)
            assert "cannot be had at the moment" in error["message"]

    test()


def test_a_failure_of_ours_does_not_leave_anybody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*args: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("wsgate.auth.authenticator.Authenticator.authenticate_later", fail)

    @on_loop
    async def test() -> None:
        async with published(monkeypatch) as (gateway, _):
            await until(lambda: gateway.app.not_ready() == [])
            client = await entered(gateway, f"/?auth={of_new_key()}")
            await client.say("ping")
            assert await shut_out(client, 1011, "internal_error") == []

    test()


@pytest.mark.parametrize("large", [False, True], ids=["many", "large"])
def test_who_floods_while_waiting_has_to_go(large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    @on_loop
    async def test() -> None:
        async with published(monkeypatch) as (gateway, issuer):
            await until(lambda: gateway.app.not_ready() == [])
            issuer.go.clear()
            client = await entered(gateway, f"/?auth={of_new_key()}")
            for _ in range(3 if large else WAITING_MESSAGES_MAX + 9):
                await client.say("ping", id="x", padding="x" * 30_000 if large else "")
            assert await shut_out(client, 4504, "too_many_commands") == []
            await gateway.until_empty()

    test()


def test_who_leaves_while_waiting_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    @on_loop
    async def test() -> None:
        async with published(monkeypatch) as (gateway, issuer):
            await until(lambda: gateway.app.not_ready() == [])
            assert gateway.app.keys is not None
            keys = gateway.app.keys
            issuer.go.clear()
            clients = [await entered(gateway, f"/?auth={of_new_key()}") for _ in range(3)]
            await until(lambda: keys.snapshot()["waiting"] == 3)
            clients[0].cut()
            await clients[1].close_properly()
            await until(lambda: keys.snapshot()["waiting"] == 1)
            await until(lambda: len(gateway.hub) == 1)
            stop = gateway.stop()  # with the last one still waiting
            assert await shut_out(clients[2], 1012, "service_restart") == []
            await stop
            assert not [task for task in asyncio.all_tasks() if task.get_name() == "login"]

    test()


def test_a_gateway_without_keys_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    @on_loop
    async def test() -> None:
        async with Issuer(jwks(jwk("ES256"))) as issuer:
            issuer.go.clear()
            async with guarded(ws_jwt_secret=None, ws_jwt_keys=[issuer.url]) as gateway:
                _, answer = await ask_plainly(gateway, "/readyz")
                assert answer.status == 503
                assert b"the keys to check tokens with are not there yet" in answer.body
                issuer.go.set()
                await until(lambda: gateway.app.not_ready() == [])
                _, answer = await ask_plainly(gateway, "/readyz")
                assert answer.status == 200

    test()


async def ask_plainly(gateway: LocalGateway, path: str) -> tuple[Client, Answer]:
    client = await gateway.dial()
    return client, await client.ask(request(path, {"Host": "gateway.test"}))


# Revocation


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


def test_who_waits_for_keys_is_cut_off_too(monkeypatch: pytest.MonkeyPatch) -> None:
    @on_loop
    async def test() -> None:
        async with published(monkeypatch) as (gateway, issuer):
            await until(lambda: gateway.app.not_ready() == [])
            issuer.document = jwks(jwk("ES256", "k2"))
            issuer.go.clear()
            client = await entered(gateway, f"/?auth={of_new_key()}")
            assert gateway.hub.revoke(["user-1"]) == 0
            issuer.go.set()
            assert await shut_out(client, 4503, "token_revoked") == []

    test()


# Tickets


@asynccontextmanager
async def posting(gateway: LocalGateway, text: str | None) -> AsyncIterator[aiohttp.ClientResponse]:
    """A backend's request for a ticket."""
    headers = {} if text is None else {"Authorization": f"Bearer {text}"}
    async with gateway.admin() as admin, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{admin.port}/ticket"
        async with session.post(url, headers=headers) as answer:
            yield answer


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
