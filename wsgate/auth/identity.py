"""What checking a credential comes to: an identity, or one of the exceptions here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from wsgate.auth.permissions import Permissions, of_patterns


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a connection is, until when, and what it may subscribe to. Times are since 1970.

    ``expires_at_s`` is the moment from which the token is refused, so the leeway is in it: a
    connection that is ended then lives exactly as long as a new one would be let in.
    """

    subject: str
    expires_at_s: float | None
    permissions: Permissions
    issued_at_s: float | None = None
    token_id: str | None = None

    def to_plain(self) -> dict[str, Any]:
        """As JSON can have it."""
        return {
            "subject": self.subject,
            "expires_at_s": self.expires_at_s,
            "permissions": list(self.permissions.patterns),
            "issued_at_s": self.issued_at_s,
            "token_id": self.token_id,
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Identity:
        return cls(**{**plain, "permissions": of_patterns(plain["permissions"])})


class Refusal(StrEnum):
    """Why a credential is no good; a label for counters."""

    MALFORMED = "malformed"  # no JWT, too long, or with an extension that we must not ignore
    ALGORITHM = "algorithm"  # not one of ours, or not its key's
    SIGNATURE = "signature"
    UNKNOWN_KEY = "unknown_key"
    AUDIENCE = "audience"
    ISSUER = "issuer"
    NOT_YET = "not_yet"  # issued, or valid, from a moment that is still to come
    CLAIMS = "claims"  # signed, but with claims that are missing or of the wrong form
    TICKET = "ticket"  # no such ticket: made up, used, too old or pushed out
    REVOKED = "revoked"  # its subject was cut off, and this is no newer token


class TokenRefused(Exception):
    """The credential will never do. Close code 4501."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the token was refused: {self.reason}"


class KeyUnknown(TokenRefused):
    """The token names a key that is not known *now*; it may be, once the keys are fetched again."""

    def __init__(self) -> None:
        super().__init__(Refusal.UNKNOWN_KEY)


class Undecided(Exception):
    """Nobody here can tell *now*: somebody else has to be asked, and may know."""


class TokenExpired(Exception):
    """The token was good until a while ago. Close code 4401."""

    def __str__(self) -> str:
        return "the token has expired"


class KeysUnavailable(Exception):
    """Nobody can tell whether the token is good: the keys cannot be had. Come back later."""

    def __str__(self) -> str:
        return "the keys to check the token with cannot be had at the moment"
