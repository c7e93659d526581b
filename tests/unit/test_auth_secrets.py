"""No token, ticket or key shows in anything that is printed, logged or raised."""

from __future__ import annotations

import io
import logging
import traceback
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.support.feed import until
from tests.support.issuer import (
    NOW_S,
    Issuer,
    encoded,
    hmac_token,
    jwk,
    jwks,
    no_tickets,
    private_key,
    private_pem,
    token,
)
from tests.support.loop import on_loop
from wsgate import log
from wsgate.auth.authenticator import Authenticator
from wsgate.auth.carriers import BadCredentials, Credential, CredentialKind, find
from wsgate.auth.identity import KeysUnavailable, TokenExpired, TokenRefused, Undecided
from wsgate.auth.jwks_url import JwksUrl
from wsgate.auth.keys import KeySource
from wsgate.auth.keyset import KeysUnusable, from_jwks, from_pem, from_secret
from wsgate.auth.limits import KeyLimits
from wsgate.auth.options import TokenOptions
from wsgate.auth.origins import Files, Given
from wsgate.auth.permissions import NOTHING
from wsgate.auth.tickets import Tickets
from wsgate.auth.verifier import Verifier

SECRET = "XYZZY-PLUGH-XYZZY-PLUGH-XYZZY-PLUGH"
MARKS = ("XYZZY", "PLUGH", encoded(SECRET.encode())[:12])


def clean(*shown: object) -> None:
    for one in shown:
        for text in (str(one), repr(one), f"{one}", repr([one])):
            assert not [mark for mark in MARKS if mark in text], text


def raised(error: BaseException) -> str:
    """All that a traceback shows of it; the lines of this file are code, not values."""
    lines = traceback.format_exception(error)
    return "".join(line for line in lines if not line.lstrip().startswith("File "))


def test_objects() -> None:
    key_set = from_secret(SECRET)
    verifier = Verifier(lambda: key_set, TokenOptions(permissions_default=NOTHING))
    source = KeySource(Given(key_set))
    tickets = Tickets()
    auth = Authenticator(
        source, TokenOptions(permissions_default=NOTHING), redeem=no_tickets, clock=lambda: NOW_S
    )
    identity = verifier.verify(hmac_token({"alg": "HS256"}, {"sub": "u"}, SECRET.encode()), NOW_S)
    ticket = tickets.issue(identity, 30, NOW_S)
    assert ticket not in repr(identity) + repr(tickets) + repr(auth)
    clean(key_set, key_set.keys[0], verifier, source, auth, tickets, identity)
    clean(Credential(CredentialKind.TOKEN, SECRET), Credential(CredentialKind.TICKET, SECRET))
    clean(JwksUrl(f"https://user:{SECRET}@host/jwks?key={SECRET}"))


@pytest.mark.parametrize(
    "bad",
    [
        SECRET,
        f"{SECRET}.{SECRET}.{SECRET}",
        f"{encoded({'alg': SECRET})}.{encoded({})}.AAAA",
        f"{encoded({'alg': 'HS256', 'kid': SECRET})}.{encoded({})}.AAAA",
        f"{encoded(SECRET.encode())}.{encoded({})}.AAAA",
        hmac_token({"alg": "HS256"}, SECRET.encode(), SECRET.encode()),
        hmac_token({"alg": "HS256"}, {"sub": [SECRET]}, SECRET.encode()),
        hmac_token({"alg": "HS256"}, {"sub": "u", "channels": [f"{SECRET} "]}, SECRET.encode()),
        hmac_token({"alg": "HS256"}, {"sub": "u", "exp": 1, "jti": SECRET}, SECRET.encode()),
        hmac_token({"alg": "HS256"}, {"sub": "u", "aud": SECRET}, SECRET.encode()),
    ],
)
def test_refused_tokens(bad: str) -> None:
    key_set = from_secret(SECRET)
    with pytest.raises((TokenRefused, TokenExpired)) as caught:
        Verifier(lambda: key_set, TokenOptions(permissions_default=NOTHING)).verify(bad, NOW_S)
    clean(caught.value, raised(caught.value))
    clean(KeysUnavailable())


@pytest.mark.parametrize(
    ("path", "offer"),
    [
        (f"/?auth={SECRET}&auth={SECRET}", None),
        (f"/?auth={SECRET}&ticket={SECRET}", f"wsgate.v1, wsgate.auth.{SECRET}"),
        ("/", f"wsgate.auth.{SECRET}"),
    ],
)
def test_bad_requests(path: str, offer: str | None) -> None:
    with pytest.raises(BadCredentials) as caught:
        find(path.encode(), offer)
    clean(caught.value, raised(caught.value))


def _short_secret() -> None:
    from_secret(SECRET[:20])


def _secret_that_is_a_jwk() -> None:
    from_secret(f'{{"kty":"oct","k":"{SECRET}"}}')


def _pem_body() -> None:
    from_pem(f"-----BEGIN PUBLIC KEY-----\n{SECRET}\n-----END PUBLIC KEY-----")


def _secret_as_pem() -> None:
    from_pem(SECRET)


def _jwks() -> None:
    from_jwks(jwks({"kty": "oct", "k": SECRET, "use": SECRET}), secrets_allowed=True)


def _jwks_that_is_a_secret() -> None:
    from_jwks(SECRET.encode(), secrets_allowed=True)


def _url() -> None:
    JwksUrl(f"https//user:{SECRET}@host")


def _url_port() -> None:
    JwksUrl(f"https://host:{SECRET}/")


@pytest.mark.parametrize(
    "use",
    [
        _short_secret,
        _secret_that_is_a_jwk,
        _pem_body,
        _secret_as_pem,
        _jwks,
        _jwks_that_is_a_secret,
        _url,
        _url_port,
    ],
)
def test_keys_that_cannot_be_used(use: Any) -> None:
    with pytest.raises(KeysUnusable) as caught:
        use()
    clean(caught.value, raised(caught.value))


def test_a_private_key() -> None:
    pem = private_pem(private_key("ES256")).decode()
    with pytest.raises(KeysUnusable) as caught:
        from_pem(pem)
    shown = raised(caught.value) + repr(caught.value)
    assert not [line for line in pem.splitlines()[1:-1] if line in shown]


@pytest.mark.parametrize("format", ["json", "text"])
def test_what_is_logged(format: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything at the lowest level, libraries included, through a whole life with trouble."""
    output = io.BytesIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        log.configure("debug", format, output)

        @on_loop
        async def life() -> None:
            async with Issuer(jwks(jwk("ES256"))) as issuer:
                host = issuer.url.removeprefix("http://")
                url = f"http://user:{SECRET}@{host}?key={SECRET}"
                limits = KeyLimits(
                    refresh_interval_s=0.01, unknown_key_interval_s=0.01, backoff_cap_s=0.5
                )
                source = KeySource(JwksUrl(url), limits=limits)
                options = TokenOptions(permissions_default=NOTHING)
                auth = Authenticator(source, options, redeem=no_tickets)
                await source.start()
                await until(lambda: source.ready)
                for text in (SECRET, token("ES256"), token("ES256", "k2", SECRET)):
                    for kind in CredentialKind:
                        try:
                            auth.authenticate(Credential(kind, text))
                        except (TokenRefused, Undecided):
                            pass
                issuer.document = SECRET.encode()
                await until(lambda: source.snapshot()["failures"] > 0)
                await issuer.close()
                await source.refresh()
                await source.stop()
            secrets = tmp_path / "jwks.json"
            secrets.write_bytes(jwks({"kty": "oct", "k": encoded(SECRET.encode())}))
            files = KeySource(Files([secrets]), limits=KeyLimits(file_check_interval_s=0.01))
            await files.start()
            secrets.write_text(SECRET)
            await until(lambda: files.snapshot()["failures"] > 0)
            await files.stop()

        life()
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
    text = output.getvalue().decode()
    assert "auth_keys_loaded" in text and "auth_keys_failed" in text
    assert not [mark for mark in MARKS if mark in text], text
    assert token("ES256")[:20] not in text
