"""What the verifier says of a token."""

from __future__ import annotations

from typing import Any

from tests.support.issuer import ALGORITHMS, NOW_S, SECRET, public_key
from wsgate.auth.identity import Identity, TokenExpired, TokenRefused
from wsgate.auth.keyset import Key, KeySet, from_secret
from wsgate.auth.options import TokenOptions
from wsgate.auth.permissions import NOTHING
from wsgate.auth.verifier import Verifier

ALL_KEYS = KeySet([Key(one, public_key(one), f"{one}-key") for one in ALGORITHMS])
SECRET_ONLY = from_secret(SECRET)
HEADER = {"alg": "HS256"}


def verifier(key_set: KeySet = SECRET_ONLY, **options: Any) -> Verifier:
    return Verifier(
        lambda: key_set, TokenOptions(**{"permissions_default": NOTHING, "leeway_s": 0} | options)
    )


def verdict(given: str, key_set: KeySet = SECRET_ONLY, **options: Any) -> Identity | str:
    """The identity, or in a word why there is none."""
    try:
        return verifier(key_set, **options).verify(given, NOW_S)
    except TokenRefused as error:
        return error.reason
    except TokenExpired:
        return "expired"
