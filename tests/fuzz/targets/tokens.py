"""Tokens, where requests carry them, and tickets: an identity, or a documented refusal.

The first byte says which. Nobody can guess a signature, so what is to be looked at past it is
signed here: by keys that are ours, and by some that only look so.
"""

from __future__ import annotations

import hmac
import math
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.fuzz.tape import Tape
from wsgate.auth.carriers import BadCredentials, find, safe_path
from wsgate.auth.identity import Identity, TokenExpired, TokenRefused
from wsgate.auth.keyset import Key, KeySet
from wsgate.auth.limits import TICKET_TTL_MAX_S
from wsgate.auth.options import TokenOptions
from wsgate.auth.permissions import EVERYTHING, NOTHING
from wsgate.auth.tickets import Tickets
from wsgate.auth.verifier import Verifier

WORDS = [
    b'{"alg":"HS256"}\n', b'{"alg":"EdDSA","kid":"k2"}\n', b'"typ":"JWT"', b'"crit":', b'"b64":',
    b'"kid":', b'"sub":"', b'"exp":', b'"iat":', b'"nbf":', b'"aud":"us"', b'"iss":"me"',
    b'"jti":"', b'"channels":["token.*.update"]', b"1700000000", b"1e9", b"null", b"true", b"[]",
    b"\n", b"/?auth=", b"/?ticket=", b"&", b"%2e", b"+", b"wsgate.v1, wsgate.auth.", b", ",
    b"eyJhbGciOiJIUzI1NiJ9.", b"none", b"\\ud800", b"[[[[[[[[",
]  # fmt: skip
NOW_S = 1_700_000_000.0
LEEWAY_S = 10.0
SECRET = b"a secret of the issuer, of more than 32 bytes"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = PRIVATE.public_key()
RAW = PUBLIC.public_bytes(Encoding.Raw, PublicFormat.Raw)
PEM = PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
KEYS: dict[str, Any] = {"HS256": SECRET, "EdDSA": PUBLIC}
KEY_SETS = [
    KeySet([Key("HS256", SECRET), Key("EdDSA", PUBLIC)]),
    KeySet([Key("HS256", SECRET, "k1"), Key("EdDSA", PUBLIC, "k2")]),
    KeySet(),
]
# How to sign, and the algorithm of which that is a good signature.
SIGNERS: list[tuple[Callable[[bytes], bytes], str | None]] = [
    (lambda signed: hmac.digest(SECRET, signed, "sha256"), "HS256"),
    (PRIVATE.sign, "EdDSA"),
    (lambda signed: hmac.digest(RAW, signed, "sha256"), None),
    (lambda signed: hmac.digest(PEM, signed, "sha256"), None),
    (lambda signed: b"", None),
]
# As long as a credential: nothing like that may be in what is logged or answered.
_LONG = re.compile(r"[A-Za-z0-9._~-]{33}").search
_TICKETS_MAX = 4


def fuzz(data: bytes) -> None:
    tape = Tape(data)
    tape.one_of([_signed, _any_text, _request, _tickets])(tape)


def _signed(tape: Tape) -> None:
    sign, algorithm = tape.one_of(SIGNERS)
    tampering = tape.number(255)
    verify = _verifying(tape)
    header, _, payload = tape.rest().partition(b"\n")
    signed = b".".join(urlsafe_b64encode(part).rstrip(b"=") for part in (header, payload))
    token = (signed + b"." + urlsafe_b64encode(sign(signed)).rstrip(b"=")).decode()
    if identity := verify(token):
        assert jwt.get_unverified_header(token)["alg"] == algorithm, "a key of another algorithm"
        at = tampering % len(token)
        other = "A" if token[at] != "A" else "B"
        for changed in (token[:at] + other + token[at + 1 :], token + "=", token[:-1], token + "."):
            assert verify(changed) is None, "a token may be written in two ways"
        assert verify(token) == identity


def _any_text(tape: Tape) -> None:
    verify = _verifying(tape)
    # Without a signature of ours there is nothing to accept.
    assert verify(tape.rest().decode(errors="replace")) is None


def _verifying(tape: Tape) -> Callable[[str], Identity | None]:
    keys = tape.one_of(KEY_SETS)
    audience, issuer = tape.one_of([None, "us"]), tape.one_of([None, "me"])
    options = TokenOptions(
        permissions_default=NOTHING, audience=audience, issuer=issuer, leeway_s=LEEWAY_S
    )
    verifier = Verifier(lambda: keys, options)

    def verify(token: str) -> Identity | None:
        try:
            identity = verifier.verify(token, NOW_S)
        except (TokenRefused, TokenExpired) as error:
            assert not _LONG(str(error))
            return None
        _check_with_pyjwt(identity, token, audience, issuer)
        return identity

    return verify


def _check_with_pyjwt(
    identity: Identity, token: str, audience: str | None, issuer: str | None
) -> None:
    """PyJWT takes it too, for the same; of times, for which it has only today's clock, see here."""
    algorithm = jwt.get_unverified_header(token)["alg"]
    timeless = {f"verify_{claim}": False for claim in ("exp", "iat", "nbf")}
    try:
        claims = jwt.decode(
            token,
            KEYS[algorithm],
            algorithms=[algorithm],
            audience=audience,
            issuer=issuer,
            options=timeless,  # type: ignore[arg-type]
        )
    except jwt.DecodeError as error:
        if isinstance(error.__cause__, RecursionError):
            return  # of its JSON reader, which goes less deep than ours
        raise
    assert claims["sub"] == identity.subject
    assert claims.get("jti") == identity.token_id
    assert claims.get("iat") == identity.issued_at_s
    assert tuple(claims.get("channels", ())) == identity.permissions.patterns
    expiry_s = claims.get("exp")
    assert expiry_s is None or identity.expires_at_s == expiry_s + LEEWAY_S > NOW_S
    assert all(claims.get(name, 0) <= NOW_S + LEEWAY_S for name in ("iat", "nbf"))


def _request(tape: Tape) -> None:
    path, newline, offer = tape.rest().partition(b"\n")
    shown = safe_path(path)
    assert shown.isascii() and (not shown or shown.isprintable()) and len(shown) < 400
    assert not _LONG(shown), "a credential in the log"
    try:
        credential = find(path, offer.decode(errors="replace") if newline else None)
    except BadCredentials as error:
        assert not _LONG(str(error))
        return
    if credential is None:
        assert not path.partition(b"?")[2].startswith((b"auth=", b"ticket="))
        return
    assert not _LONG(repr(credential))
    for keys in KEY_SETS:
        verifier = Verifier(lambda keys=keys: keys, TokenOptions(permissions_default=NOTHING))  # type: ignore[misc]
        try:
            verifier.verify(credential.text, NOW_S)
        except (TokenRefused, TokenExpired):
            pass
    assert Tickets().redeem(credential.text, NOW_S) is None


def _tickets(tape: Tape) -> None:
    tickets = Tickets(_TICKETS_MAX)
    now_s = NOW_S
    issued: list[tuple[str, Identity, float]] = []
    for turn in range(100):
        if not tape:
            break
        match tape.number(3):
            case 0:
                lives_s = tape.one_of([None, 2.0, 100.0])
                ttl_s = tape.one_of([1.0, 5.0, TICKET_TTL_MAX_S, 0.0, -1.0, 301.0, math.nan])
                end_s = math.inf if lives_s is None else now_s + lives_s
                identity = Identity(f"user-{turn}", None if lives_s is None else end_s, EVERYTHING)
                try:
                    ticket = tickets.issue(identity, ttl_s, now_s)
                except ValueError:
                    assert not 0 < ttl_s <= TICKET_TTL_MAX_S
                else:
                    issued.append((ticket, identity, min(now_s + ttl_s, end_s)))
            case 1:
                now_s += tape.one_of([0.5, 1.0, 60.0])
            case 2 if issued:
                ticket, identity, expires_at_s = issued.pop(tape.number(len(issued) - 1))
                found = tickets.redeem(ticket, now_s)
                assert found is None or (found is identity and now_s < expires_at_s)
                assert tickets.redeem(ticket, now_s) is None, "used twice"
                if not tickets.pushed_out and now_s < expires_at_s:
                    assert found is identity, "a good ticket was lost"
            case _:
                text = tape.bytes(tape.number(60)).decode(errors="replace")
                assert tickets.redeem(text, now_s) is None
        assert len(tickets) <= _TICKETS_MAX
