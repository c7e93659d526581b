"""Keys as they are given: secrets, PEM, JWKS."""

from __future__ import annotations

import datetime as dt
import warnings
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.issuer import (
    SECRET,
    encoded,
    jwk,
    jwks,
    private_key,
    private_pem,
    public_key,
    public_pem,
)
from wsgate.auth.keyset import Key, KeySet, KeysUnusable, from_jwks, from_pem, from_secret
from wsgate.auth.limits import KEYS_MAX

PUBLIC = ("RS256", "ES256", "EdDSA")


def algorithms(key_set: KeySet) -> list[str]:
    return [key.algorithm for key in key_set.keys]


# Secrets


def test_a_secret() -> None:
    assert algorithms(from_secret("x" * 32)) == ["HS256"]
    assert algorithms(from_secret(b"\0" * 32)) == ["HS256"]
    assert algorithms(from_secret("ü" * 16)) == ["HS256"], "bytes count, not characters"


@pytest.mark.parametrize("secret", ["", "changeme", "x" * 31, b"\0" * 31])
def test_a_secret_that_is_too_short(secret: str | bytes) -> None:
    with pytest.raises(KeysUnusable, match=f"has {len(secret)} bytes; HS256 needs at least 32"):
        from_secret(secret)


def test_a_secret_that_is_no_secret() -> None:
    for public in (
        public_pem(public_key("ES256")),
        jwks(jwk("ES256")),
        b'{"kty":"oct","k":"aaaaaaaaaaaaaa"}',
    ):
        with pytest.raises(KeysUnusable, match="the secret is a public key"):
            from_secret(public)


# PEM


@pytest.mark.parametrize("algorithm", PUBLIC)
def test_a_public_key_in_pem(algorithm: str) -> None:
    text = public_pem(public_key(algorithm)).decode()
    assert algorithms(from_pem(text)) == [algorithm]
    assert algorithms(from_pem(text.replace("\n", "\r\n"))) == [algorithm]


def test_several_with_words_between() -> None:
    text = "\nand:\n".join(public_pem(public_key(one)).decode() for one in PUBLIC)
    assert algorithms(from_pem(text)) == list(PUBLIC)


def test_a_certificate() -> None:
    key = private_key("ES256")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, SHA256())
    )
    assert algorithms(from_pem(certificate.public_bytes(Encoding.PEM).decode())) == ["ES256"]


def weak_rsa() -> rsa.RSAPrivateKey:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return rsa.generate_private_key(65537, 1024)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: "", "no PEM block"),
        (lambda: "a secret", "no PEM block"),
        (lambda: "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "not a public key"),
        (lambda: "-----BEGIN CERTIFICATE-----\n\n-----END CERTIFICATE-----", "not a public key"),
        (lambda: private_pem(private_key("ES256")).decode(), "openssl pkey -pubout"),
        (lambda: public_pem(weak_rsa().public_key()).decode(), "1024 bits; RS256 needs at least"),
        (
            lambda: public_pem(ec.generate_private_key(ec.SECP384R1()).public_key()).decode(),
            "of no type in use here",
        ),
        (
            lambda: public_pem(ed448.Ed448PrivateKey.generate().public_key()).decode(),
            "of no type in use here",
        ),
    ],
)
def test_pem_that_is_no_use(make: Any, complaint: str) -> None:
    with pytest.raises(KeysUnusable, match=complaint):
        from_pem(make())


def test_one_bad_key_spoils_the_file() -> None:
    good = public_pem(public_key("ES256")).decode()
    with pytest.raises(KeysUnusable):
        from_pem(good + private_pem(private_key("EdDSA")).decode())


# JWKS


@pytest.mark.parametrize("algorithm", PUBLIC)
def test_a_jwk(algorithm: str) -> None:
    for entry in (
        jwk(algorithm),
        jwk(algorithm, alg=None, use=None, kid=None),
        jwk(algorithm, key_ops=["verify"], x5t="ignored"),
    ):
        key_set = from_jwks(jwks(entry), secrets_allowed=False)
        assert algorithms(key_set) == [algorithm]
        assert key_set.keys[0].kid == entry.get("kid")
        assert key_set.skipped == 0


@pytest.mark.parametrize(
    "entry",
    [
        None,
        "key",
        [],
        {},
        {"kty": "RSA"},
        {"kty": "RSA", "n": 7, "e": []},
        {"kty": "RSA", "n": "", "e": ""},
        {"kty": ["RSA"]},
        {"kty": "EC", "crv": ["P-256"]},
        {"kty": "EC", "crv": "P-256"},
        {"kty": "EC", "crv": "P-256", "x": None, "y": None},
        {"kty": "EC", "crv": "P-256", "x": encoded(b"\1" * 32), "y": encoded(b"\1" * 32)},
        {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"},
        {"kty": "OKP", "crv": "X25519", "x": encoded(b"\1" * 32)},
        {"kty": "oct", "k": "AAAA"},
        {"kty": "oct", "k": 7},
        jwk("ES256", use="enc"),
        jwk("ES256", use=7),
        jwk("ES256", alg="ES384"),
        jwk("ES256", alg="HS256"),
        jwk("RS256", alg="PS256"),
        jwk("RS256", alg="none"),
        jwk("ES256", key_ops=["sign"]),
        jwk("ES256", key_ops="verify"),
        jwk("ES256", kid=7),
        jwk("ES256", crv="P-384"),
        jwk("ES256", crv=None),
    ],
)
def test_keys_that_are_none_for_us_are_skipped_and_counted(entry: Any) -> None:
    key_set = from_jwks(jwks(entry, jwk("EdDSA")), secrets_allowed=True)
    assert algorithms(key_set) == ["EdDSA"]
    assert key_set.skipped == 1


def test_a_private_key_that_was_published_is_skipped() -> None:
    for algorithm in PUBLIC:
        private = jwt.get_algorithm_by_name(algorithm).to_jwk(private_key(algorithm), as_dict=True)
        private.pop("key_ops", None)
        assert "d" in private
        with pytest.raises(KeysUnusable, match="none of the 1 keys"):
            from_jwks(jwks(private), secrets_allowed=True)


def test_a_small_rsa_key_is_skipped() -> None:
    weak = jwt.get_algorithm_by_name("RS256").to_jwk(weak_rsa().public_key(), as_dict=True)
    del weak["key_ops"]
    assert from_jwks(jwks(weak, jwk("RS256")), secrets_allowed=False).skipped == 1


def test_secrets_count_where_they_are_kept_secret() -> None:
    entry = {"kty": "oct", "k": encoded(SECRET), "alg": "HS256", "kid": "s"}
    assert algorithms(from_jwks(jwks(entry), secrets_allowed=True)) == ["HS256"]
    with pytest.raises(KeysUnusable, match="none of the 1 keys"):
        from_jwks(jwks(entry), secrets_allowed=False)


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (b"", "not JSON"),
        (b"<html>", "not JSON"),
        (b"[]", "no JWK Set"),
        (b"{}", "no JWK Set"),
        (b'{"keys":{}}', "no JWK Set"),
        (b'{"keys":[]}', "none of the 0 keys"),
        (jwks(*[{}] * (KEYS_MAX + 1)), "there are 65 keys; allowed are 64"),
    ],
)
def test_documents_that_are_no_jwks(document: bytes, complaint: str) -> None:
    with pytest.raises(KeysUnusable, match=complaint):
        from_jwks(document, secrets_allowed=True)


FIELDS = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "k", "kid", "use", "alg", "key_ops"])
VALUES = st.none() | st.integers() | st.text(max_size=4) | st.lists(st.text(max_size=2), max_size=2)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(["ES256", "EdDSA", "HS256"]), st.dictionaries(FIELDS, VALUES, max_size=3))
def test_any_jwk_is_a_key_or_skipped(algorithm: str, changes: dict[str, Any]) -> None:
    key_set = from_jwks(jwks(jwk(algorithm) | changes, jwk("RS256")), secrets_allowed=True)
    assert len(key_set) + key_set.skipped == 2


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,keys', max_size=30).map(str.encode))
def test_any_bytes_are_keys_or_the_documented_exception(document: bytes) -> None:
    with pytest.raises(KeysUnusable):
        from_jwks(document, secrets_allowed=True)
    with pytest.raises(KeysUnusable):
        from_pem(document.decode("latin-1"))


# Keys


def test_a_key_for_another_algorithm_is_none() -> None:
    for algorithm, material in [
        ("RS256", public_key("ES256")),
        ("ES256", public_key("RS256")),
        ("EdDSA", public_key("ES256")),
        ("HS256", public_pem(public_key("ES256"))),
        ("ES256", ec.generate_private_key(ec.SECP384R1()).public_key()),
        ("RS256", dsa.generate_private_key(2048).public_key()),
    ]:
        with pytest.raises(KeysUnusable, match=f"no key for {algorithm}"):
            Key(algorithm, material)


def test_keys_beyond_both_ends() -> None:
    with pytest.raises(KeysUnusable, match="too short for HS256"):
        Key("HS256", b"x" * 31)
    with pytest.raises(KeysUnusable, match="too short for RS256"):
        Key("RS256", weak_rsa().public_key())
    huge = rsa.RSAPublicNumbers(65537, (1 << 8200) + 1).public_key()
    with pytest.raises(KeysUnusable, match="more than 8192 bits"):
        Key("RS256", huge)


def test_too_many_keys() -> None:
    with pytest.raises(KeysUnusable, match="there are 65 keys"):
        KeySet([Key("ES256", public_key("ES256"))] * (KEYS_MAX + 1))
