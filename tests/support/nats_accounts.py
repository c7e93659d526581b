"""A NATS server's decentralised logins: an operator, an account and a user, made on the spot."""

from __future__ import annotations

import base64
import json
import os
import time
from dataclasses import dataclass
from typing import Any

import nkeys

_UNLIMITED = {"subs": -1, "data": -1, "payload": -1}
_ACCOUNT_LIMITS = {**_UNLIMITED, "imports": -1, "exports": -1, "wildcards": True, "conn": -1}


@dataclass(frozen=True)
class Accounts:
    """``server_config`` makes a server trust the operator; ``creds`` is the user's creds file."""

    server_config: str
    creds: str

    @classmethod
    def make(cls) -> Accounts:
        operator, _ = _new_key(nkeys.PREFIX_BYTE_OPERATOR)
        account, _ = _new_key(nkeys.PREFIX_BYTE_ACCOUNT)
        user, user_seed = _new_key(nkeys.PREFIX_BYTE_USER)
        operator_jwt = _sign(operator, operator, {"type": "operator"})
        account_jwt = _sign(operator, account, {"type": "account", "limits": _ACCOUNT_LIMITS})
        user_jwt = _sign(account, user, {"type": "user", "pub": {}, "sub": {}, **_UNLIMITED})
        config = (
            f"operator: {operator_jwt}\n"
            "resolver: MEMORY\n"
            f"resolver_preload: {{ {account.public_key.decode()}: {account_jwt} }}\n"
        )
        creds = (
            f"-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user_seed}\n------END USER NKEY SEED------\n"
        )
        return cls(config, creds)


def _new_key(prefix: int) -> tuple[nkeys.KeyPair, str]:
    seed = nkeys.encode_seed(os.urandom(32), prefix)
    return nkeys.from_seed(bytearray(seed)), bytes(seed).decode()


def _sign(issuer: nkeys.KeyPair, subject: nkeys.KeyPair, claims: dict[str, Any]) -> str:
    body = {
        "jti": os.urandom(16).hex(),
        "iat": int(time.time()),
        "iss": issuer.public_key.decode(),
        "sub": subject.public_key.decode(),
        "name": claims["type"],
        "nats": {"version": 2, **claims},
    }
    text = f"{_encode({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{_encode(body)}"
    return f"{text}.{_base64(issuer.sign(text.encode()))}"


def _encode(value: dict[str, Any]) -> str:
    return _base64(json.dumps(value).encode())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
