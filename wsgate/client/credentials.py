"""The token: how it is shown, and when another one is due. Pure: who asks for it does so outside.

Nothing is verified here; the client reads from a token only when it will end.
"""

from __future__ import annotations

import base64
import binascii
from enum import StrEnum
from typing import Final

from orjson import JSONDecodeError, loads

# Early enough that a slow issuer, and a second attempt, are in time.
RENEW_BEFORE_S: Final = 60.0
RENEW_PART: Final = 0.2  # of what is left, where that is less


class Way(StrEnum):
    """How a connection shows its token."""

    SUBPROTOCOL = "subprotocol"  # beside the name of the protocol: in no log of URLs
    MESSAGE = "message"  # in the first command
    QUERY = "query"  # ?auth=
    TICKET = "ticket"  # ?ticket=: what is given is a ticket, good once


class Credentials:
    """``renewable``: whether there is somebody to ask for another token."""

    __slots__ = ("expires_at", "renewable", "token", "way")

    def __init__(self, token: str | None, renewable: bool, way: Way) -> None:
        self.token = token
        self.renewable = renewable
        self.way = way
        self.expires_at: float | None = None  # on the session's clock

    @property
    def needed(self) -> bool:
        """Whether a connection has to wait for a token."""
        return self.renewable and self.token is None

    def given(self, token: str, now: float, unix_now: float) -> None:
        self.token = token
        expires = expiry(token)
        self.expires_at = None if expires is None else now + expires - unix_now

    def spent(self) -> None:
        """This one is not good for another connection."""
        if self.renewable:
            self.token = self.expires_at = None

    def renew_at(self, now: float) -> float | None:
        """When to ask for the next, if one gets it, and it can be told on the same connection."""
        if not self.renewable or self.expires_at is None or self.way is Way.TICKET:
            return None
        left_s = self.expires_at - now
        return self.expires_at - min(RENEW_BEFORE_S, max(0.0, left_s) * RENEW_PART)

    def __repr__(self) -> str:
        return f"Credentials({'no token' if self.token is None else 'a token'}, {self.way})"


def expiry(token: str) -> float | None:
    """When a JWT says that it ends, in seconds since 1970; None if it does not say."""
    try:
        _, payload, _ = token.split(".")
        claims = loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        expires = claims["exp"]
    except (ValueError, binascii.Error, JSONDecodeError, KeyError, TypeError):
        return None
    return float(expires) if type(expires) in (int, float) else None
