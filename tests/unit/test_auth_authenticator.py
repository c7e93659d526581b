"""Authentication as the gateway uses it: now or later, and counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from tests.support.feed import until
from tests.support.issuer import NOW_S, SECRET, Issuer, jwk, jwks, no_tickets, token
from tests.support.loop import on_loop
from wsgate.auth.authenticator import Authenticator
from wsgate.auth.carriers import Credential, CredentialKind, find
from wsgate.auth.identity import (
    Identity,
    KeysUnavailable,
    Refusal,
    TokenExpired,
    TokenRefused,
    Undecided,
)
from wsgate.auth.jwks_url import JwksUrl
from wsgate.auth.keys import KeySource
from wsgate.auth.keyset import Key, KeySet, from_secret
from wsgate.auth.limits import KeyLimits
from wsgate.auth.options import TokenOptions
from wsgate.auth.origins import Given, Origin
from wsgate.auth.permissions import EVERYTHING
from wsgate.auth.tickets import Tickets

LIMITS = KeyLimits(
    refresh_interval_s=1e6, unknown_key_interval_s=0.01, backoff_base_s=1e6, backoff_cap_s=1e6
)
QUIET = structlog.wrap_logger(None, processors=[LogCapture()])


def by_token(text: str) -> Credential:
    return Credential(CredentialKind.TOKEN, text)


def by_ticket(text: str) -> Credential:
    return Credential(CredentialKind.TICKET, text)


@asynccontextmanager
async def running(origin: Origin, **more: Any) -> AsyncIterator[tuple[Authenticator, KeySource]]:
    source = KeySource(origin, limits=LIMITS, log=QUIET)
    await source.start()
    more.setdefault("redeem", no_tickets)
    try:
        yield (
            Authenticator(
                source, TokenOptions(permissions_default=EVERYTHING), clock=lambda: NOW_S, **more
            ),
            source,
        )
    finally:
        await source.stop()


@on_loop
async def test_what_is_known_is_told_at_once_and_counted() -> None:
    async with running(Given(from_secret(SECRET))) as (auth, _):
        assert auth.ready
        credential = find(f"/ws?auth={token('HS256', kid='any')}".encode())
        assert credential is not None
        assert auth.authenticate(credential).subject == "user-1"
        with pytest.raises(TokenExpired):
            auth.authenticate(by_token(token("HS256", exp=1)))
        with pytest.raises(TokenRefused, match="signature"):
            auth.authenticate(by_token(token("HS256", "k2")))
        with pytest.raises(TokenRefused, match="malformed"):
            auth.authenticate(by_token(""))
        with pytest.raises(Undecided):
            auth.authenticate(by_ticket("no such ticket"))
        with pytest.raises(TokenRefused, match="ticket"):
            await auth.authenticate_later(by_ticket("no such ticket"))
        found = auth.snapshot()
        assert found.pop("keys_age_s") >= 0
        assert {name: count for name, count in found.items() if count} == {
            "accepted": 1,
            "expired": 1,
            "refused_signature": 1,
            "refused_malformed": 1,
            "refused_ticket": 1,
            "keys_keys": 1,
            "keys_loads": 1,
        }


@on_loop
async def test_tickets_stand_for_tokens() -> None:
    tickets = Tickets()

    async def redeem(ticket: str) -> Identity | None:
        return tickets.redeem(ticket, NOW_S)

    async with running(Given(from_secret(SECRET)), redeem=redeem) as (auth, _):
        identity = auth.authenticate(by_token(token("HS256")))
        credential = find(f"/ws?ticket={tickets.issue(identity, 30, NOW_S)}".encode())
        assert credential is not None
        assert await auth.authenticate_later(credential) is identity
        with pytest.raises(TokenRefused, match="ticket"):
            await auth.authenticate_later(credential)


@pytest.mark.parametrize("silence", [TimeoutError, ConnectionError])
@on_loop
async def test_where_nobody_says_whose_a_ticket_is_nobody_is_refused(
    silence: type[Exception],
) -> None:
    async def redeem(ticket: str) -> Identity | None:
        raise silence

    async with running(Given(from_secret(SECRET)), redeem=redeem) as (auth, _):
        with pytest.raises(KeysUnavailable):
            await auth.authenticate_later(by_ticket("x"))
        assert auth.unavailable == 1 and not auth.refused


@on_loop
async def test_who_was_cut_off_needs_a_newer_token() -> None:
    now_s = int(NOW_S)
    held: list[Identity] = []

    async def redeem(ticket: str) -> Identity | None:
        return held[0]

    async with running(Given(from_secret(SECRET)), redeem=redeem) as (auth, _):
        held.append(auth.authenticate(by_token(token("HS256", iat=now_s - 1))))
        auth.revoke("user-1")
        for credential in (
            by_token(token("HS256", iat=now_s - 1)),
            by_token(token("HS256", iat=None)),
        ):
            with pytest.raises(TokenRefused, match="revoked"):
                auth.authenticate(credential)
        with pytest.raises(TokenRefused, match="revoked"):
            await auth.authenticate_later(by_ticket("of before"))
        for subject, issued_at_s in [("user-1", now_s), ("user-2", now_s - 1)]:
            auth.authenticate(by_token(token("HS256", sub=subject, iat=issued_at_s)))
        found = auth.snapshot()
        assert (found["accepted"], found["refused_revoked"]) == (3, 3)
        assert (found["revocations"], found["revocations_held"]) == (1, 1)


@on_loop
async def test_a_key_that_can_never_come_is_refused_at_once() -> None:
    given = Given(KeySet([Key("HS256", SECRET, "k1")]))
    async with running(given) as (auth, _):
        with pytest.raises(TokenRefused, match="unknown_key"):
            auth.authenticate(by_token(token("HS256", kid="k2")))
        assert auth.refused[Refusal.UNKNOWN_KEY] == 1


@on_loop
async def test_a_new_key_is_fetched_while_its_first_users_wait() -> None:
    async with (
        Issuer(jwks(jwk("ES256"))) as issuer,
        running(JwksUrl(issuer.url)) as (auth, source),
    ):
        await until(lambda: auth.ready)
        credential = by_token(token("EdDSA", "k2", "k2"))
        with pytest.raises(Undecided):
            auth.authenticate(credential)
        issuer.document = jwks(jwk("ES256"), jwk("EdDSA", "k2"))
        crowd = await asyncio.gather(*(auth.authenticate_later(credential) for _ in range(50)))
        assert {one.subject for one in crowd} == {"user-1"}
        assert issuer.requests == 2
        assert auth.authenticate(credential).subject == "user-1"
        assert auth.accepted == 51
        assert source.snapshot()["waiting"] == 0


@on_loop
async def test_a_key_that_nobody_has_is_refused_after_one_fetch() -> None:
    async with Issuer(jwks(jwk("ES256"))) as issuer, running(JwksUrl(issuer.url)) as (auth, _):
        await until(lambda: auth.ready)
        with pytest.raises(TokenRefused, match="unknown_key"):
            await auth.authenticate_later(by_token(token("ES256", "k2", "made-up")))
        assert issuer.requests == 2
        assert auth.refused == {Refusal.UNKNOWN_KEY: 1}


@on_loop
async def test_what_else_is_wrong_with_a_token_whose_key_came_late() -> None:
    async with Issuer(jwks(jwk("ES256"))) as issuer, running(JwksUrl(issuer.url)) as (auth, _):
        await until(lambda: auth.ready)
        issuer.document = jwks(jwk("ES256", "k2"))
        with pytest.raises(TokenExpired):
            await auth.authenticate_later(by_token(token("ES256", "k2", "k2", exp=1)))
        with pytest.raises(TokenRefused, match="signature"):
            auth.authenticate(by_token(token("ES256", "k1", "k2")))


@on_loop
async def test_without_an_issuer_nobody_is_told_that_a_token_is_bad() -> None:
    async with Issuer(jwks(jwk("ES256"))) as issuer, running(JwksUrl(issuer.url)) as (auth, _):
        await until(lambda: auth.ready)
        await issuer.close()
        with pytest.raises(KeysUnavailable):
            await auth.authenticate_later(by_token(token("ES256", "k2", "new")))
        assert auth.unavailable == 1 and not auth.refused
        # Who has a key that is known is not concerned.
        assert auth.authenticate(by_token(token("ES256", kid="k1"))).subject == "user-1"


@on_loop
async def test_before_the_first_keys_nobody_is_refused_either() -> None:
    async with Issuer(jwks(jwk("ES256"))) as issuer:
        issuer.go.clear()
        async with running(JwksUrl(issuer.url)) as (auth, source):
            assert not auth.ready
            credential = by_token(token("ES256", kid="k1"))
            with pytest.raises(Undecided):
                auth.authenticate(credential)
            later = asyncio.create_task(auth.authenticate_later(credential))
            await until(lambda: source.snapshot()["waiting"] == 1)
            issuer.go.set()
            assert (await later).subject == "user-1"
