"""Revocations: subjects whose tokens are refused from a moment on, whatever they say themselves.

A token cannot be taken back, so it has to be remembered that it is no good: until it would have
expired anyway, as far as that is known. A newer token for the same subject is good again.
"""

from __future__ import annotations

from collections import OrderedDict

from wsgate.auth.identity import Identity
from wsgate.auth.limits import REVOCATION_KEPT_S, REVOCATIONS_MAX


class Revocations:
    """Times are in seconds since 1970. Oldest out first, when they are too many or too old."""

    def __init__(
        self, revocations_max: int = REVOCATIONS_MAX, kept_s: float = REVOCATION_KEPT_S
    ) -> None:
        self._revocations_max = revocations_max
        self._kept_s = kept_s
        self._since: OrderedDict[str, float] = OrderedDict()
        self.total = 0
        self.pushed_out = 0  # forgotten before their time

    def __len__(self) -> int:
        return len(self._since)

    def revoke(self, subject: str, now_s: float) -> None:
        """Every token of the subject that was issued until now is no good any more."""
        self.total += 1
        self._since[subject] = now_s
        self._since.move_to_end(subject)
        self._forget(now_s)

    def covers(self, identity: Identity, now_s: float) -> bool:
        """Whether the identity's token was revoked; one that does not tell its age was."""
        if not self._since:
            return False
        since_s = self._since.get(identity.subject)
        if since_s is None or now_s - since_s > self._kept_s:
            return False
        # Tokens tell the time in whole seconds: one issued in the same second may be the new one.
        return identity.issued_at_s is None or identity.issued_at_s < int(since_s)

    def _forget(self, now_s: float) -> None:
        while self._since:
            oldest_s = next(iter(self._since.values()))
            old = now_s - oldest_s > self._kept_s
            if not old and len(self._since) <= self._revocations_max:
                return
            self.pushed_out += not old
            self._since.popitem(last=False)
