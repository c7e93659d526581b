"""Keys, and sets of them: who may have signed a token, and how.

A key knows its one algorithm, from where it came, never from a token: so a public key is never
taken for the secret of an HMAC, which is how tokens are forged where the token has a say (RFC 8725
§2.1). Keys and signatures are PyJWT's business; this module decides which keys there are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import jwt
import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

from wsgate.auth.identity import KeyUnknown, Refusal, TokenRefused
from wsgate.auth.limits import (
    HEADERS_REMEMBERED_MAX,
    KEYS_MAX,
    KEYS_TRIED_MAX,
    RSA_BITS_MAX,
    RSA_BITS_MIN,
    SECRET_BYTES_MIN,
)

# By type of key and, where it has one, curve; RFC 7518 §6, RFC 8037 §2.
_ALGORITHM_OF: Final = {
    ("oct", None): "HS256",
    ("RSA", None): "RS256",
    ("EC", "P-256"): "ES256",
    ("OKP", "Ed25519"): "EdDSA",
}
_ALGORITHMS: Final = {name: jwt.get_algorithm_by_name(name) for name in _ALGORITHM_OF.values()}
_PEM_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


class KeysUnusable(Exception):
    """What was given as keys cannot be used: says why, never shows any of it."""


class Key:
    """One key: its algorithm, and its name if it has one."""

    __slots__ = ("_implementation", "_material", "algorithm", "kid")

    def __init__(self, algorithm: str, material: Any, kid: str | None = None) -> None:
        """``material``: what PyJWT takes for this algorithm. Raise KeysUnusable if it is weak."""
        self._implementation = _ALGORITHMS[algorithm]
        try:
            # Once for all tokens. For HMAC this refuses a secret that is really a public key.
            self._material = self._implementation.prepare_key(material)
        except (jwt.InvalidKeyError, TypeError, ValueError):
            raise KeysUnusable(f"it is no key for {algorithm}") from None
        if self._implementation.check_key_length(self._material):
            raise KeysUnusable(f"it is too short for {algorithm}")
        if algorithm == "RS256" and self._material.key_size > RSA_BITS_MAX:
            raise KeysUnusable(f"it has more than {RSA_BITS_MAX} bits")
        self.algorithm = algorithm
        self.kid = kid

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Whether the signature is this key's, for just this message."""
        return self._implementation.verify(message, self._material, signature)

    def __repr__(self) -> str:
        return f"Key({self.algorithm}, kid={self.kid!r})"


class KeySet:
    """The keys of one moment. Never changed: another set takes its place.

    ``skipped`` is how many keys of the document were none for us.
    """

    __slots__ = ("_by_header", "_by_kid", "keys", "skipped")

    def __init__(self, keys: Sequence[Key] = (), skipped: int = 0) -> None:
        if len(keys) > KEYS_MAX:
            raise KeysUnusable(f"there are {len(keys)} keys; allowed are {KEYS_MAX}")
        self.keys = tuple(keys)
        self.skipped = skipped
        self._by_kid: dict[str, list[Key]] = {}
        for key in self.keys:
            if key.kid is not None:
                self._by_kid.setdefault(key.kid, []).append(key)
        self._by_header: dict[bytes, tuple[Key, ...]] = {}

    def __len__(self) -> int:
        return len(self.keys)

    def __repr__(self) -> str:
        return f"KeySet({list(self.keys)}, skipped={self.skipped})"

    def find(self, algorithm: str, kid: str | None) -> tuple[Key, ...]:
        """The keys that may have signed a token with these in its header; at least one.

        A key without a name, as all but those of a JWKS are, goes with any ``kid``. Raises
        KeyUnknown if another set may have the key, TokenRefused if none will.
        """
        named = self._by_kid.get(kid) if kid is not None else None
        if named is not None:
            found = tuple(key for key in named if key.algorithm == algorithm)
        else:
            found = tuple(
                key
                for key in self.keys
                if key.algorithm == algorithm and (kid is None or key.kid is None)
            )
        if found and len(found) <= KEYS_TRIED_MAX:
            return found
        if named is None and not found and (kid is not None or not self.keys):
            raise KeyUnknown
        raise TokenRefused(Refusal.UNKNOWN_KEY if found else Refusal.ALGORITHM)

    def recall(self, header: bytes) -> tuple[Key, ...] | None:
        """What ``remember`` was told of this header."""
        return self._by_header.get(header)

    def remember(self, header: bytes, keys: tuple[Key, ...]) -> None:
        """A token with this header, and these keys to try, turned out to be signed.

        An issuer's tokens have the same header, letter for letter. Only those of good tokens are
        remembered, so that strangers cannot push them out.
        """
        if len(self._by_header) >= HEADERS_REMEMBERED_MAX:
            self._by_header.clear()
        self._by_header[header] = keys


def from_secret(secret: str | bytes) -> KeySet:
    """One shared secret, for HS256; text is taken as UTF-8."""
    material = secret.encode() if isinstance(secret, str) else secret
    if len(material) < SECRET_BYTES_MIN:
        raise KeysUnusable(
            f"the secret has {len(material)} bytes; HS256 needs at least {SECRET_BYTES_MIN},"
            " from a random source: openssl rand -base64 48"
        )
    try:
        if _is_json_object(material):  # not every PyJWT looks
            raise KeysUnusable
        return KeySet([Key("HS256", material)])
    except KeysUnusable:
        raise KeysUnusable(
            "the secret is a public key, a certificate or a JWK; give it as such"
        ) from None


def _is_json_object(text: bytes) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


def from_pem(text: str) -> KeySet:
    """Public keys and certificates in PEM, any number one after the other."""
    blocks = list(_PEM_BLOCK.finditer(text))
    if not blocks:
        raise KeysUnusable("there is no PEM block in it: nothing between BEGIN and END lines")
    return KeySet([_from_pem_block(block[1], block[0].encode()) for block in blocks])


def _from_pem_block(label: str, block: bytes) -> Key:
    if "PRIVATE" in label:
        raise KeysUnusable(
            "it is a private key, which only the issuer should have; give the public one:"
            " openssl pkey -pubout"
        )
    try:
        if label == "CERTIFICATE":
            public: Any = load_pem_x509_certificate(block).public_key()
        else:
            public = load_pem_public_key(block)
    except (ValueError, UnsupportedAlgorithm):
        raise KeysUnusable(f"a PEM block ({label}) is not a public key") from None
    if isinstance(public, RSAPublicKey):
        if public.key_size < RSA_BITS_MIN:
            raise KeysUnusable(
                f"an RSA key has {public.key_size} bits; RS256 needs at least {RSA_BITS_MIN}"
            )
        return Key("RS256", public)
    if isinstance(public, EllipticCurvePublicKey) and isinstance(public.curve, SECP256R1):
        return Key("ES256", public)
    if isinstance(public, Ed25519PublicKey):
        return Key("EdDSA", public)
    raise KeysUnusable("a key is of no type in use here: RSA, EC on P-256, or Ed25519")


def from_jwks(document: bytes, *, secrets_allowed: bool) -> KeySet:
    """A JWK Set (RFC 7517). Keys that are not for us are skipped and counted.

    ``secrets_allowed``: whether keys for HMAC count; what anybody can fetch is no secret.
    """
    try:
        parsed = orjson.loads(document)
    except orjson.JSONDecodeError:
        raise KeysUnusable("it is not JSON") from None
    entries = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(entries, list):
        raise KeysUnusable('it is no JWK Set: an object with an array "keys"')
    if len(entries) > KEYS_MAX:
        raise KeysUnusable(f"there are {len(entries)} keys; allowed are {KEYS_MAX}")
    found = [_from_jwk(entry, secrets_allowed) for entry in entries]
    keys = [key for key in found if key is not None]
    if not keys:
        raise KeysUnusable(f"none of the {len(entries)} keys is for HS256, RS256, ES256 or EdDSA")
    return KeySet(keys, len(entries) - len(keys))


def _from_jwk(entry: Any, secrets_allowed: bool) -> Key | None:
    """The key, if it is one for checking signatures that we can use."""
    if not isinstance(entry, dict):
        return None
    algorithm = _algorithm_of(entry)
    kid = entry.get("kid")
    if algorithm is None or not (kid is None or isinstance(kid, str)):
        return None
    if algorithm == "HS256" and not secrets_allowed:
        return None
    try:
        return Key(algorithm, _ALGORITHMS[algorithm].from_jwk(entry), kid)
    # Whatever a field is that should have been a string: PyJWT does not look.
    except (KeysUnusable, jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        return None
    except UnsupportedAlgorithm:
        return None


def _algorithm_of(entry: Mapping[str, Any]) -> str | None:
    """The algorithm that a key is for; None if none of ours, or not for checking signatures."""
    kty, crv, use, operations = (entry.get(name) for name in ("kty", "crv", "use", "key_ops"))
    if not isinstance(kty, str) or not (crv is None or isinstance(crv, str)):
        return None
    algorithm = _ALGORITHM_OF.get((kty, crv))
    # RFC 7517 §4.2 to §4.4: each is optional, and binding where it is given.
    if use not in (None, "sig") or entry.get("alg") not in (None, algorithm):
        return None
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        return None
    # "d": a private key. Whoever may read this may sign.
    return None if "d" in entry else algorithm
