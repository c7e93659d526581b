"""Keys that a gateway does not know yet: who waits for them, how long, and in which order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.client import Answer, Client, request
from tests.support.feed import until
from tests.support.gateway import LocalGateway
from tests.support.guarded import ALL, STATE, entered, guarded, posting, replies, shut_out
from tests.support.issuer import Issuer, jwk, jwks, token
from tests.support.loop import on_loop
from wsgate.auth.keys import KeySource
from wsgate.auth.limits import KeyLimits


@asynccontextmanager
async def published(
    monkeypatch: pytest.MonkeyPatch, kind: type[KeySource] = KeySource, **settings: Any
) -> AsyncIterator[tuple[LocalGateway, Issuer]]:
    """A gateway that fetches its keys, and may do so again at once."""
    quick = KeyLimits(unknown_key_interval_s=0.01, fetch_timeout_s=0.5, log_interval_s=0.01)

    def source(*args: Any) -> KeySource:
        return kind(*args, limits=quick)

    monkeypatch.setattr("wsgate.auth.keys.KeySource", source)
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

    @on_loop
    async def test() -> None:
        async with published(monkeypatch, Quiet) as (gateway, issuer):
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
