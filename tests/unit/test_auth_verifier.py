"""Tokens, good and forged, with real keys."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from tests.support.issuer import (
    ALGORITHMS,
    LIFETIME_S,
    NOW_S,
    claims,
    encoded,
    hmac_token,
    private_key,
    public_key,
    public_pem,
    token,
)
from tests.support.verdicts import ALL_KEYS, HEADER, verdict, verifier
from wsgate.auth.identity import Identity, KeyUnknown, Refusal, TokenRefused
from wsgate.auth.keyset import Key, KeySet
from wsgate.auth.limits import TOKEN_BYTES_MAX
from wsgate.auth.options import TokenOptions
from wsgate.auth.permissions import EVERYTHING, NOTHING
from wsgate.auth.verifier import Verifier

# Good ones


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_good_token(algorithm: str) -> None:
    good = token(algorithm, kid=f"{algorithm}-key", jti="token-7")
    one = verifier(ALL_KEYS)
    first, again = one.verify(good, NOW_S), one.verify(good, NOW_S)
    assert first == again
    assert (first.subject, first.token_id) == ("user-1", "token-7")
    assert (first.expires_at_s, first.issued_at_s) == (NOW_S + LIFETIME_S, NOW_S - 10)
    assert first.permissions.patterns == ("token.*.update",)
    assert first.permissions is again.permissions


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_that_does_not_name_its_key(algorithm: str) -> None:
    assert isinstance(verdict(token(algorithm), ALL_KEYS), Identity)


def test_a_key_without_a_name_goes_with_any() -> None:
    assert isinstance(verdict(token("HS256", kid="whatever")), Identity)


def test_what_may_be_absent() -> None:
    found = verdict(hmac_token(HEADER, {"sub": "u"}))
    assert found == Identity("u", None, NOTHING)
    assert verdict(hmac_token(HEADER, {"sub": "u"}), permissions_default=EVERYTHING) == Identity(
        "u", None, EVERYTHING
    )


def test_the_claim_of_the_channels_has_the_name_it_is_given() -> None:
    found = verdict(
        token("HS256", **{"https://x/rooms": ["a.>"]}), channels_claim="https://x/rooms"
    )
    assert isinstance(found, Identity) and found.permissions.patterns == ("a.>",)


# Forged and broken ones


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_signature_of_another_key(algorithm: str) -> None:
    assert verdict(token(algorithm, "k2", f"{algorithm}-key"), ALL_KEYS) is Refusal.SIGNATURE


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_another_payload_under_a_good_signature(algorithm: str) -> None:
    header, _, signature = token(algorithm, kid=f"{algorithm}-key").split(".")
    forged = f"{header}.{encoded(claims(sub='admin'))}.{signature}"
    one = verifier(ALL_KEYS)
    one.verify(token(algorithm, kid=f"{algorithm}-key"), NOW_S)  # its header is remembered now
    with pytest.raises(TokenRefused, match="signature"):
        one.verify(forged, NOW_S)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("kid", [None, "k1"])
def test_a_public_key_is_never_the_secret_of_an_hmac(algorithm: str, kid: str | None) -> None:
    public = public_key(algorithm)
    header = {"alg": "HS256"} | ({"kid": kid} if kid else {})
    forged = hmac_token(header, claims(), public_pem(public))
    for key_kid in (None, "k1"):
        key_set = KeySet([Key(algorithm, public, key_kid)])
        expected = Refusal.UNKNOWN_KEY if kid and not key_kid else Refusal.ALGORITHM
        assert verdict(forged, key_set) is expected


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "HS384", "hs256", "ES512", ""])
@pytest.mark.parametrize("signature", ["", "c2ln"])
def test_an_algorithm_that_is_not_its_key_s(alg: str, signature: str) -> None:
    unsigned = f"{encoded({'alg': alg})}.{encoded(claims())}.{signature}"
    assert verdict(unsigned) is Refusal.ALGORITHM
    assert verdict(unsigned, ALL_KEYS) is Refusal.ALGORITHM
    named = f"{encoded({'alg': alg, 'kid': 'HS256-key'})}.{encoded(claims())}.{signature}"
    assert verdict(named, ALL_KEYS) is Refusal.ALGORITHM


def test_the_algorithm_of_another_key_of_the_set() -> None:
    # Signed as it says, and both keys are there; but this name is that of the other.
    assert verdict(token("ES256", kid="RS256-key"), ALL_KEYS) is Refusal.ALGORITHM


@pytest.mark.parametrize("signature", [b"", b"\0" * 32, b"\0" * 63, b"\0" * 64, b"\xff" * 256])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_signatures_of_any_form(algorithm: str, signature: bytes) -> None:
    head = token(algorithm, kid=f"{algorithm}-key").rpartition(".")[0]
    assert verdict(f"{head}.{encoded(signature)}", ALL_KEYS) is Refusal.SIGNATURE


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{",
        b"\xff",
        [],
        "HS256",
        None,
        {},
        {"alg": None},
        {"alg": 1},
        {"alg": ["HS256"]},
        {"alg": "HS256", "kid": 1},
        {"alg": "HS256", "kid": None},
        {"alg": "HS256", "kid": ["a"]},
        # Extensions: RFC 7515 §4.1.11, RFC 7797.
        {"alg": "HS256", "crit": ["exp"], "exp": 1},
        {"alg": "HS256", "crit": ["b64"], "b64": True},
        {"alg": "HS256", "crit": ["b64"], "b64": False},
        {"alg": "HS256", "crit": []},
        {"alg": "HS256", "crit": None},
        {"alg": "HS256", "b64": False},
        b"[" * 5000,
    ],
)
def test_headers_that_are_none(header: Any) -> None:
    assert verdict(hmac_token(header, claims())) is Refusal.MALFORMED


def test_keys_in_the_header_are_ignored() -> None:
    other = private_key("ES256", "k2")
    mine = jwt.get_algorithm_by_name("ES256").to_jwk(other.public_key(), as_dict=True)
    forged = jwt.encode(claims(), other, "ES256", {"jwk": mine, "jku": "https://evil.example/"})
    assert verdict(forged, ALL_KEYS) is Refusal.SIGNATURE


@pytest.mark.parametrize(
    "broken",
    ["", ".", "..", "...", "a.b", "a.b.c.d.e", "ü.ü.ü", "\ud800", "a b.c.d", "\0", "a" * 9000],
)
def test_what_is_no_token(broken: str) -> None:
    assert verdict(broken) is Refusal.MALFORMED


def test_a_token_can_be_written_in_one_way_only() -> None:
    good = token("HS256")
    assert isinstance(verdict(good), Identity)
    header, payload, signature = good.split(".")
    for bad in (
        good + "=",
        good + "\n",
        " " + good,
        f"{header}=.{payload}.{signature}",
        f"{header}.{payload}.{signature[:-2]}",
        f"{header}.{payload}.{signature[:5]} {signature[5:]}",
        f"{header}.{payload}.+{signature[1:]}",
        f"{header}.{payload}./{signature[1:]}",
        # 43 letters for 32 bytes: the last has two bits to spare, which must be zero.
        good[:-1] + _next_letter(good[-1]),
    ):
        assert verdict(bad) is Refusal.MALFORMED, bad


def _next_letter(letter: str) -> str:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return letters[letters.index(letter) + 1]


def test_the_longest_token() -> None:
    empty = len(token("HS256", pad=""))
    room = TOKEN_BYTES_MAX - empty
    longest = token("HS256", pad="x" * (room * 3 // 4))
    assert TOKEN_BYTES_MAX - 4 <= len(longest) <= TOKEN_BYTES_MAX
    assert isinstance(verdict(longest), Identity)
    assert verdict(token("HS256", pad="x" * room)) is Refusal.MALFORMED


# Unknown keys


def test_a_key_that_is_not_known_now_may_be_later() -> None:
    with pytest.raises(KeyUnknown) as caught:
        verifier(ALL_KEYS).verify(token("ES256", "k2", "new-key"), NOW_S)
    assert caught.value.reason is Refusal.UNKNOWN_KEY
    with pytest.raises(KeyUnknown):
        verifier(KeySet()).verify(token("ES256"), NOW_S)


def test_few_keys_are_tried_for_a_token_that_names_none() -> None:
    names = ["k1", "k2", "k3", "k4", "k5"]
    keys = [Key("ES256", public_key("ES256", name), name) for name in names]
    assert isinstance(verdict(token("ES256", "k4"), KeySet(keys[:4])), Identity)
    assert verdict(token("ES256", "k4"), KeySet(keys)) is Refusal.UNKNOWN_KEY
    assert isinstance(verdict(token("ES256", "k4", "k4"), KeySet(keys)), Identity)


def test_headers_are_remembered_with_their_set_and_only_after_a_good_signature() -> None:
    first = KeySet([Key("ES256", public_key("ES256"), "k")])
    sets = [first]
    one = Verifier(lambda: sets[0], TokenOptions(permissions_default=NOTHING))
    good, forged = token("ES256", kid="k"), token("ES256", "k2", "k")
    header = good.partition(".")[0].encode()
    with pytest.raises(TokenRefused):
        one.verify(forged, NOW_S)
    assert first.recall(header) is None
    one.verify(good, NOW_S)
    assert first.recall(header) == first.keys
    # The key of that name is another now, so good and forged change places.
    sets[0] = KeySet([Key("ES256", public_key("ES256", "k2"), "k")])
    with pytest.raises(TokenRefused):
        one.verify(good, NOW_S)
    one.verify(forged, NOW_S)


# Claims


DATES_MALFORMED = ["1800000000", True, [], {}, -1, 1.8e12, 1e300, None]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"exp": NOW_S + 1}, None),
        ({"exp": NOW_S + 0.5}, None),
        ({"exp": NOW_S}, "expired"),
        ({"exp": NOW_S - 1000}, "expired"),
        ({"exp": 0}, "expired"),
        ({"nbf": NOW_S}, None),
        ({"nbf": NOW_S + 1}, "not_yet"),
        ({"iat": NOW_S}, None),
        ({"iat": NOW_S + 1}, "not_yet"),
        ({"sub": ""}, "claims"),
        ({"sub": 7}, "claims"),
        ({"sub": ["u"]}, "claims"),
        ({"sub": "u" * 255}, None),
        ({"sub": "u" * 256}, "claims"),
        ({"jti": 7}, "claims"),
        ({"jti": "j" * 256}, "claims"),
        ({"channels": []}, None),
        ({"channels": "token.>"}, "claims"),
        ({"channels": ["a b"]}, "claims"),
        ({"channels": [["a"]]}, "claims"),
        ({"channels": ["a"] * 257}, "claims"),
        ({"aud": "somebody"}, "audience"),
        ({"aud": []}, "audience"),
        ({"iss": "anybody"}, None),
    ],
)
def test_claims(more: dict[str, Any], expected: str | None) -> None:
    found = verdict(hmac_token(HEADER, claims(**more)))
    assert isinstance(found, Identity) if expected is None else found == expected


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", DATES_MALFORMED)
def test_dates_that_are_none(name: str, value: Any) -> None:
    assert verdict(hmac_token(HEADER, claims() | {name: value})) is Refusal.CLAIMS


@pytest.mark.parametrize("name", ["sub", "jti", "channels"])
def test_null_is_not_absent(name: str) -> None:
    payload = claims() | {name: None}
    assert verdict(hmac_token(HEADER, payload), permissions_default=EVERYTHING) is Refusal.CLAIMS


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"\xff", [], "user", None, b"[" * 5000, b'{"a":NaN}']
)
def test_payloads_that_are_no_claims(payload: Any) -> None:
    assert verdict(hmac_token(HEADER, payload)) is Refusal.CLAIMS


def test_a_token_without_a_subject() -> None:
    assert verdict(token("HS256", sub=None)) is Refusal.CLAIMS


@pytest.mark.parametrize(
    ("audience", "good"),
    [
        ("wsgate", True),
        (["other", "wsgate"], True),
        ("other", False),
        (["other"], False),
        ([], False),
        ("", False),
        ("wsgate2", False),
        (["wsgate", 7], False),
        ({"wsgate": 1}, False),
        (None, False),
    ],
)
def test_audience(audience: Any, good: bool) -> None:
    found = verdict(hmac_token(HEADER, claims(aud=audience)), audience="wsgate")
    assert isinstance(found, Identity) if good else found is Refusal.AUDIENCE


@pytest.mark.parametrize(
    ("issuer", "good"),
    [("https://a", True), ("https://a/", False), (["https://a"], False), (None, False)],
)
def test_issuer(issuer: Any, good: bool) -> None:
    found = verdict(hmac_token(HEADER, claims(iss=issuer)), issuer="https://a")
    assert isinstance(found, Identity) if good else found is Refusal.ISSUER


def test_leeway_goes_both_ways_and_is_part_of_the_expiry() -> None:
    late = verdict(hmac_token(HEADER, claims(exp=NOW_S - 4)), leeway_s=5)
    assert isinstance(late, Identity) and late.expires_at_s == NOW_S + 1
    assert verdict(hmac_token(HEADER, claims(exp=NOW_S - 5)), leeway_s=5) == "expired"
    early = claims(nbf=NOW_S + 5, iat=NOW_S + 5)
    assert isinstance(verdict(hmac_token(HEADER, early), leeway_s=5), Identity)
    assert verdict(hmac_token(HEADER, claims(nbf=NOW_S + 6)), leeway_s=5) is Refusal.NOT_YET


def test_only_what_was_good_is_called_expired() -> None:
    """ "Come back with a new one" would have the client come back for ever."""
    old = {"exp": NOW_S - 1000}
    assert verdict(token("HS256", "k2", **old)) is Refusal.SIGNATURE
    assert verdict(token("HS256", aud="other", **old)) is Refusal.AUDIENCE
    assert verdict(token("HS256", sub=None, **old)) is Refusal.CLAIMS
    assert verdict(token("HS256", channels=["a b"], **old)) is Refusal.CLAIMS
    assert verdict(token("HS256", **old)) == "expired"


@pytest.mark.parametrize("leeway_s", [-1, 301, float("nan")])
def test_a_leeway_that_makes_no_sense(leeway_s: float) -> None:
    with pytest.raises(ValueError, match="leeway_s"):
        TokenOptions(permissions_default=NOTHING, leeway_s=leeway_s)


def test_a_claim_without_a_name() -> None:
    with pytest.raises(ValueError, match="channels_claim"):
        TokenOptions(permissions_default=NOTHING, channels_claim="")
