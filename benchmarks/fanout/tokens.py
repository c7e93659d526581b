"""Tokens for the load clients, each of its own, and the key that the gateway checks them with."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

LIFE_S = 3600


@dataclass(frozen=True)
class Tokens:
    path: Path
    """One a line."""
    settings: dict[str, str]
    """What makes the gateway take them."""

    @property
    def first(self) -> str:
        with self.path.open() as lines:
            return lines.readline().strip()


def make(algorithm: str, count: int, folder: Path) -> Tokens:
    """Tokens for ``count`` subjects, signed with a new key, HS256 or ES256."""
    settings = {"WS_AUTH": "jwt"}
    key: ec.EllipticCurvePrivateKey | str
    if algorithm == "HS256":
        key = settings["WS_JWT_SECRET"] = secrets.token_urlsafe(48)
    else:
        key = ec.generate_private_key(ec.SECP256R1())
        public = folder / "tokens.pem"
        public.write_bytes(
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        settings["WS_JWT_KEYS"] = str(public)
    expires = int(time.time()) + LIFE_S
    path = folder / "tokens.txt"
    with path.open("w") as lines:
        for number in range(count):
            claims = {
                "sub": f"user-{number}",
                "exp": expires,
                "iat": expires - LIFE_S,
                "channels": ["token.*.update", "token.*.comment", "global.>"],
            }
            lines.write(jwt.encode(claims, key, algorithm) + "\n")
    return Tokens(path, settings)
