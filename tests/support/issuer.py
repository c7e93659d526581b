"""An issuer of tokens: real keys, tokens good and forged, and a server that publishes the keys."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.support.http_port import HttpPort

# The moment the tests began, for PyJWT has no clock that can be set.
NOW_S = float(int(time.time()))
LIFETIME_S = 4 * 3600  # of a token: longer than all tests take
SECRET = b"a secret of the issuer, of more than 32 bytes"
ALGORITHMS = ("HS256", "RS256", "ES256", "EdDSA")


@cache
def private_key(algorithm: str, name: str = "k1") -> Any:
    """The same key for the same name, since making one takes a while."""
    if algorithm == "HS256":
        return SECRET if name == "k1" else hashlib.sha256(name.encode()).digest()
    if algorithm == "RS256":
        return rsa.generate_private_key(65537, 2048)
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate()


def public_key(algorithm: str, name: str = "k1") -> Any:
    key = private_key(algorithm, name)
    return key if algorithm == "HS256" else key.public_key()


def public_pem(key: Any) -> bytes:
    return bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def private_pem(key: Any) -> bytes:
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def jwk(algorithm: str, name: str = "k1", **more: Any) -> dict[str, Any]:
    """The public key as an issuer publishes it; fields given as None are left out."""
    entry = jwt.get_algorithm_by_name(algorithm).to_jwk(public_key(algorithm, name), as_dict=True)
    entry.pop("key_ops", None)
    entry |= {"kid": name, "use": "sig", "alg": algorithm} | more
    return {field: value for field, value in entry.items() if value is not None}


def jwks(*entries: Any) -> bytes:
    return json.dumps({"keys": entries}).encode()


def claims(**more: Any) -> dict[str, Any]:
    """Those of a good token; ones given as None are left out."""
    usual = {
        "sub": "user-1",
        "iat": int(NOW_S) - 10,
        "exp": int(NOW_S) + LIFETIME_S,
        "channels": ["token.*.update"],
    }
    return {name: value for name, value in (usual | more).items() if value is not None}


def token(algorithm: str = "ES256", name: str = "k1", kid: str | None = None, **more: Any) -> str:
    """A token as a good issuer makes it."""
    headers = {"kid": kid} if kid else None
    return jwt.encode(claims(**more), private_key(algorithm, name), algorithm, headers)


def encoded(part: Any) -> str:
    """One part of a token: bytes as they are, anything else as JSON."""
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def hmac_token(header: Any, payload: Any, secret: bytes = SECRET) -> str:
    """Any header and any payload, signed with HMAC-SHA256 by hand."""
    signed = f"{encoded(header)}.{encoded(payload)}"
    return f"{signed}.{encoded(hmac.digest(secret, signed.encode(), 'sha256'))}"


class Issuer(HttpPort):
    """Publishes ``document``; a test may have it fail, hang, or say something else."""

    def __init__(self, document: bytes) -> None:
        super().__init__()
        self.document = document
        self.status = 200
        self.headers: dict[str, str] = {}
        self.requests = 0
        self.seen: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/.well-known/jwks.json"

    async def until_requests(self, count: int) -> None:
        await self.until(lambda: self.requests >= count)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def serve(self, request: web.Request) -> web.Response:
        self.requests += 1
        self.seen.append(dict(request.headers))
        self._changed.set()
        document, status, headers = self.document, self.status, self.headers
        await self.go.wait()
        return web.Response(
            body=document, status=status, headers=headers, content_type="application/json"
        )


async def no_tickets(ticket: str) -> None:
    """Redeems none."""
