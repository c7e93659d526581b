"""Tokens: from the bytes of a JWT (RFC 7519) to an identity, or the reason why not.

The order of the checks is that of trust: size and form, the key, the signature, and only then what
the token says. Expiry is last: "come back with a new one" is said only to what was good.

PyJWT checks keys and signatures. Taking the token apart is done here, since PyJWT's own way costs
25 µs in Python beside 65 for the signature; see ``docs/design/auth.md``.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections.abc import Callable
from typing import Any, Final

from orjson import JSONDecodeError, loads

from wsgate.auth.identity import Identity, Refusal, TokenExpired, TokenRefused
from wsgate.auth.keyset import Key, KeySet
from wsgate.auth.limits import (
    DATE_MAX_S,
    SUBJECT_CHARACTERS_MAX,
    TOKEN_BYTES_MAX,
    TOKEN_ID_CHARACTERS_MAX,
)
from wsgate.auth.options import TokenOptions
from wsgate.auth.permissions import Permissions, PermissionsCache

# From base64url to base64; what is of base64 alone becomes what is of neither.
_TO_BASE64: Final = bytes.maketrans(b"-_+/=", b"+/!!!")
# By length modulo 4: one letter over is no length that base64 has.
_PADDING: Final = (b"", b"!", b"==", b"=")


class Verifier:
    """``keys`` gives the set to check against, anew for each token."""

    __slots__ = ("_keys", "_options", "_permissions")

    def __init__(self, keys: Callable[[], KeySet], options: TokenOptions) -> None:
        self._keys = keys
        self._options = options
        self._permissions = PermissionsCache()

    def verify(self, token: str, now_s: float) -> Identity:
        """Who the token says one is. ``now_s``: since 1970.

        Raises TokenExpired or TokenRefused; of these KeyUnknown if it is worth fetching the keys
        and trying again.
        """
        try:
            if len(token) > TOKEN_BYTES_MAX:
                raise ValueError
            signed, _, signature_text = token.encode("ascii").rpartition(b".")
            header_text, _, payload_text = signed.partition(b".")
            signature = _decoded(signature_text)
            payload = _decoded(payload_text)
        except ValueError:
            raise TokenRefused(Refusal.MALFORMED) from None
        key_set = self._keys()
        known = key_set.recall(header_text)
        keys = known or _keys_for(header_text, key_set)
        if not any(key.signed(signed, signature) for key in keys):
            raise TokenRefused(Refusal.SIGNATURE)
        if known is None:
            key_set.remember(header_text, keys)
        return self._identity(payload, now_s)

    def _identity(self, payload: bytes, now_s: float) -> Identity:
        """What a signed payload says."""
        try:
            claims = loads(payload)
        except JSONDecodeError:
            raise TokenRefused(Refusal.CLAIMS) from None
        if type(claims) is not dict:
            raise TokenRefused(Refusal.CLAIMS)
        options = self._options
        _check_audience(claims, options.audience)
        if options.issuer is not None and claims.get("iss") != options.issuer:
            raise TokenRefused(Refusal.ISSUER)
        subject = _text(claims, "sub", SUBJECT_CHARACTERS_MAX)
        if not subject:
            raise TokenRefused(Refusal.CLAIMS)
        expiry_s = _date(claims, "exp")
        issued_at_s = _date(claims, "iat")
        valid_from_s = _date(claims, "nbf")
        latest_s = now_s + options.leeway_s
        if (issued_at_s or 0) > latest_s or (valid_from_s or 0) > latest_s:
            raise TokenRefused(Refusal.NOT_YET)
        permissions = self._permissions_in(claims)
        token_id = _text(claims, "jti", TOKEN_ID_CHARACTERS_MAX)
        if expiry_s is not None:
            expiry_s += options.leeway_s
            if now_s >= expiry_s:
                raise TokenExpired
        return Identity(subject, expiry_s, permissions, issued_at_s, token_id)

    def _permissions_in(self, claims: dict[str, Any]) -> Permissions:
        if self._options.channels_claim not in claims:
            return self._options.permissions_default
        try:
            return self._permissions.of_claim(claims[self._options.channels_claim])
        except ValueError:
            raise TokenRefused(Refusal.CLAIMS) from None


def _decoded(text: bytes) -> bytes:
    """The bytes that a part of the token stands for, if this is the one way to write them.

    Nothing is padded or ignored, and no bits are left over (RFC 7515 §2, RFC 4648 §3.5): otherwise
    a token could be written in several ways.
    """
    base64 = text.translate(_TO_BASE64) + _PADDING[len(text) % 4]
    decoded = a2b_base64(base64)  # its binascii.Error is a ValueError
    if b2a_base64(decoded, newline=False) != base64:
        raise ValueError
    return decoded


def _keys_for(header_text: bytes, key_set: KeySet) -> tuple[Key, ...]:
    """The keys that may have signed a token with this header (RFC 7515 §4)."""
    try:
        header = loads(_decoded(header_text))
    except ValueError:
        raise TokenRefused(Refusal.MALFORMED) from None
    # crit: extensions that must not be ignored, of which we have none; b64 belongs to one of them.
    # Keys in the header, or addresses of keys (jwk, jku, x5c, x5u), are nobody's but the sender's.
    if type(header) is not dict or "crit" in header or "b64" in header:
        raise TokenRefused(Refusal.MALFORMED)
    algorithm, kid = header.get("alg"), header.get("kid")
    if type(algorithm) is not str or ("kid" in header and type(kid) is not str):
        raise TokenRefused(Refusal.MALFORMED)
    return key_set.find(algorithm, kid)


def _check_audience(claims: dict[str, Any], wanted: str | None) -> None:
    """RFC 7519 §4.1.3: a string or an array of them; ours must be there if there is any."""
    if wanted is None and "aud" not in claims:
        return
    audience = claims.get("aud")
    if type(audience) is list and all(type(one) is str for one in audience):
        found = wanted in audience
    else:
        found = type(audience) is str and audience == wanted
    if not found:
        raise TokenRefused(Refusal.AUDIENCE)


def _date(claims: dict[str, Any], name: str) -> float | None:
    """Seconds since 1970, if the claim is there (RFC 7519 §2, NumericDate)."""
    if name not in claims:
        return None
    date = claims[name]
    if type(date) not in (int, float) or not 0 <= date <= DATE_MAX_S:
        raise TokenRefused(Refusal.CLAIMS)
    return float(date)


def _text(claims: dict[str, Any], name: str, characters_max: int) -> str | None:
    if name not in claims:
        return None
    text = claims[name]
    if type(text) is not str or len(text) > characters_max:
        raise TokenRefused(Refusal.CLAIMS)
    return text
