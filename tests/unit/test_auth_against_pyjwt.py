"""Tokens of any form, against PyJWT: what is taken here it takes too, and reads the same in it.

Not the other way round, since we are stricter.
"""

from __future__ import annotations

import json
from typing import Any

import jwt
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.issuer import ALGORITHMS, NOW_S, SECRET, claims, hmac_token, token
from tests.support.verdicts import ALL_KEYS, HEADER, verdict
from wsgate.auth.identity import Identity, Refusal

fuzz = settings(deadline=None, max_examples=500)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
TIMES = st.integers(int(NOW_S) - 3, int(NOW_S) + 3)
CLAIMS = st.fixed_dictionaries(
    {"sub": st.just("user-1") | JSON},
    optional={
        "exp": TIMES | JSON,
        "nbf": TIMES | JSON,
        "iat": TIMES | JSON,
        "aud": st.sampled_from(["us", ["us"], ["them", "us"], "them"]) | JSON,
        "iss": st.sampled_from(["me", "you"]) | JSON,
        "jti": st.text(max_size=4) | JSON,
        "channels": st.lists(st.sampled_from(["a.*", "b", "a b", ">"]), max_size=3) | JSON,
    },
)
HEADERS = st.fixed_dictionaries(
    {"alg": st.just("HS256") | JSON},
    optional={"kid": st.just("k") | JSON, "typ": JSON, "crit": JSON, "b64": st.booleans()},
)


def judged_alike(given: str, **options: Any) -> Identity | str:
    found = verdict(given, **options)
    if isinstance(found, Identity):
        theirs = jwt.decode(
            given,
            SECRET,
            algorithms=["HS256"],
            audience=options.get("audience"),
            issuer=options.get("issuer"),
            leeway=600,  # its clock is the real one, which goes on while tests run
        )
        assert theirs["sub"] == found.subject
        assert theirs.get("jti") == found.token_id
        assert theirs.get("iat") == found.issued_at_s
        assert theirs.get("exp") == found.expires_at_s
        assert tuple(theirs.get("channels", ())) == found.permissions.patterns
    return found


@fuzz
@given(CLAIMS, st.sampled_from([None, "us"]), st.sampled_from([None, "me"]))
def test_claims_of_any_form(
    payload: dict[str, Any], audience: str | None, issuer: str | None
) -> None:
    judged_alike(hmac_token(HEADER, payload), audience=audience, issuer=issuer)


@fuzz
@given(HEADERS)
def test_headers_of_any_form(header: dict[str, Any]) -> None:
    judged_alike(hmac_token(header, claims()))


@fuzz
@given(st.data())
def test_a_token_with_something_changed(data: st.DataObject) -> None:
    good = token("HS256", kid="k")
    at = data.draw(st.integers(0, len(good)))
    until = data.draw(st.integers(at, min(len(good), at + 3)))
    new = data.draw(st.text(alphabet="AZaz09-_.=+/ \n", max_size=3))
    changed = good[:at] + new + good[until:]
    found = judged_alike(changed)
    assert isinstance(found, Identity) == (changed == good)


@fuzz
@given(st.text(max_size=60) | st.text(alphabet="eyJhbGciOi.-_=", max_size=60))
def test_text_of_any_form(text: str) -> None:
    assert verdict(text) in set(Refusal)


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(ALGORITHMS), st.integers(0, 10**6), st.integers(0, 7))
def test_no_bit_of_a_token_may_change(algorithm: str, place: int, bit: int) -> None:
    good = token(algorithm, kid=f"{algorithm}-key").encode()
    changed = bytearray(good)
    changed[place % len(good)] ^= 1 << bit
    assert not isinstance(verdict(changed.decode("latin-1"), ALL_KEYS), Identity)


def test_json_that_says_something_twice_means_the_last() -> None:
    """As RFC 7519 §4 allows; what matters is that everybody who reads it reads the same."""
    twice = json.dumps(claims())[:-1] + ',"sub":"user-2"}'
    found = judged_alike(hmac_token(HEADER, twice.encode()))
    assert isinstance(found, Identity) and found.subject == "user-2"
