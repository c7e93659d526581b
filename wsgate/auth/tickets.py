"""Tickets: a few seconds' stand-ins for a token, each good for one connection.

A backend that holds a client's token fetches a ticket for it; the client puts that into the URL,
where its use is over before anybody can read it in some log. Only digests are kept: who gets hold
of this memory gets no ticket. Looking a digest up takes a time that depends on the digest, and
tells nothing of the ticket.
"""

from __future__ import annotations

import secrets
from hashlib import sha256
from typing import Final

from wsgate.auth.identity import Identity
from wsgate.auth.limits import TICKET_TTL_MAX_S, TICKETS_MAX

_RANDOM_BYTES: Final = 32
_CHARACTERS: Final = len(secrets.token_urlsafe(_RANDOM_BYTES))


class Tickets:
    """Times are in seconds since 1970, and always passed in."""

    __slots__ = ("_held", "_tickets_max", "expired", "issued", "pushed_out", "redeemed", "unknown")

    def __init__(self, tickets_max: int = TICKETS_MAX) -> None:
        assert tickets_max > 0
        self._tickets_max = tickets_max
        # By digest, oldest first.
        self._held: dict[bytes, tuple[Identity, float]] = {}
        self.issued = 0
        self.redeemed = 0
        self.expired = 0
        self.pushed_out = 0
        self.unknown = 0

    def __len__(self) -> int:
        return len(self._held)

    def issue(self, identity: Identity, ttl_s: float, now_s: float) -> str:
        """A new ticket; past the bound the oldest makes room for it."""
        if not 0 < ttl_s <= TICKET_TTL_MAX_S:
            raise ValueError(f"ttl_s is {ttl_s:g}; allowed is up to {TICKET_TTL_MAX_S:g}")
        self._purge(now_s)
        if len(self._held) >= self._tickets_max:
            del self._held[next(iter(self._held))]
            self.pushed_out += 1
        expires_at_s = now_s + ttl_s
        if identity.expires_at_s is not None:
            expires_at_s = min(expires_at_s, identity.expires_at_s)
        ticket = secrets.token_urlsafe(_RANDOM_BYTES)
        self._held[_digest(ticket)] = (identity, expires_at_s)
        self.issued += 1
        return ticket

    def redeem(self, ticket: str, now_s: float) -> Identity | None:
        """Whom it was issued to; None if it is none, was used, or is too old. It is used now."""
        found = self._held.pop(_digest(ticket), None) if _may_be_one(ticket) else None
        if found is None:
            self.unknown += 1
            return None
        identity, expires_at_s = found
        if now_s >= expires_at_s:
            self.expired += 1
            return None
        self.redeemed += 1
        return identity

    def snapshot(self) -> dict[str, int]:
        """Totals and levels of this moment, for metrics."""
        return {
            "held": len(self._held),
            "issued": self.issued,
            "redeemed": self.redeemed,
            "expired": self.expired,
            "pushed_out": self.pushed_out,
            "unknown": self.unknown,
        }

    def _purge(self, now_s: float) -> None:
        """Drop expired ones from the old end: each ticket is dropped once, so O(1) a ticket.

        One behind a longer-lived one waits for it, or for the bound; it is worth nothing meanwhile.
        """
        while self._held:
            oldest = next(iter(self._held))
            if now_s < self._held[oldest][1]:
                return
            del self._held[oldest]
            self.expired += 1


def _may_be_one(ticket: str) -> bool:
    return len(ticket) == _CHARACTERS and ticket.isascii()


def _digest(ticket: str) -> bytes:
    return sha256(ticket.encode()).digest()
