"""All of authentication behind two calls: what can be told at once, and what takes newer keys.

Also counts how it ends, since every way in comes past here.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable

from wsgate.auth.carriers import Credential, CredentialKind
from wsgate.auth.identity import (
    Identity,
    KeysUnavailable,
    KeyUnknown,
    Refusal,
    TokenExpired,
    TokenRefused,
    Undecided,
)
from wsgate.auth.keys import KeySource
from wsgate.auth.options import TokenOptions
from wsgate.auth.revocations import Revocations
from wsgate.auth.verifier import Verifier

Redeem = Callable[[str], Awaitable[Identity | None]]


class Authenticator:
    """``clock`` gives the seconds since 1970.

    ``redeem`` asks whoever gives tickets whose this is; None if it is nobody's. OSError or
    TimeoutError if there is no answer.
    """

    def __init__(
        self,
        source: KeySource,
        options: TokenOptions,
        *,
        redeem: Redeem,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._verifier = Verifier(lambda: source.keys, options)
        self._redeem = redeem
        self._revocations = Revocations()
        self._clock = clock
        self.accepted = 0
        self.expired = 0
        self.unavailable = 0
        self.refused: Counter[Refusal] = Counter()

    @property
    def ready(self) -> bool:
        """Whether tokens can be checked: part of the answer to "are you ready?"."""
        return self._source.ready

    def authenticate(self, credential: Credential) -> Identity:
        """Who this is. Raises TokenExpired, TokenRefused, or Undecided.

        Undecided, which is counted as nothing yet, is to be followed by ``authenticate_later``.
        """
        if credential.kind is CredentialKind.TICKET:
            raise Undecided
        try:
            return self._verify(credential.text)
        except KeyUnknown:
            if self._source.renewable:
                raise Undecided from None
            self.refused[Refusal.UNKNOWN_KEY] += 1
            raise TokenRefused(Refusal.UNKNOWN_KEY) from None

    async def authenticate_later(self, credential: Credential) -> Identity:
        """The same, with what others say after this call; waits for them, in bounded time.

        Raises TokenExpired or TokenRefused, or KeysUnavailable if they say nothing: then nobody
        knows, and the client should come again.
        """
        if credential.kind is CredentialKind.TICKET:
            return await self._exchange(credential.text)
        fresh = await self._source.refresh_for_unknown_key()
        try:
            # Even if that failed: another load may have come meanwhile.
            return self._verify(credential.text)
        except KeyUnknown:
            if not fresh:
                self.unavailable += 1
                raise KeysUnavailable from None
            self.refused[Refusal.UNKNOWN_KEY] += 1
            raise TokenRefused(Refusal.UNKNOWN_KEY) from None

    def revoke(self, subject: str) -> None:
        """No token of the subject that was issued until now, nor its ticket, is good any more."""
        self._revocations.revoke(subject, self._clock())

    def snapshot(self) -> dict[str, int | float]:
        """Totals and levels of this moment, for metrics."""
        return {
            "accepted": self.accepted,
            "expired": self.expired,
            "unavailable": self.unavailable,
            **{f"refused_{reason}": self.refused[reason] for reason in Refusal},
            "revocations": self._revocations.total,
            "revocations_held": len(self._revocations),
            "revocations_pushed_out": self._revocations.pushed_out,
            **{f"keys_{name}": count for name, count in self._source.snapshot().items()},
        }

    def _verify(self, token: str) -> Identity:
        try:
            identity = self._verifier.verify(token, self._clock())
        except KeyUnknown:
            raise
        except TokenRefused as error:
            self.refused[error.reason] += 1
            raise
        except TokenExpired:
            self.expired += 1
            raise
        return self._accepted(identity)

    async def _exchange(self, ticket: str) -> Identity:
        try:
            identity = await self._redeem(ticket)
        except (OSError, TimeoutError):
            self.unavailable += 1
            raise KeysUnavailable from None
        if identity is None:
            self.refused[Refusal.TICKET] += 1
            raise TokenRefused(Refusal.TICKET)
        return self._accepted(identity)

    def _accepted(self, identity: Identity) -> Identity:
        """Unless its subject was cut off since its token was issued."""
        if self._revocations.covers(identity, self._clock()):
            self.refused[Refusal.REVOKED] += 1
            raise TokenRefused(Refusal.REVOKED)
        self.accepted += 1
        return identity
