"""Whether to come back after an end, and when."""

from __future__ import annotations

from random import Random
from typing import Final

from wsgate.backoff import full_jitter

BASE_S: Final = 0.5
CAP_S: Final = 30.0
RETRY_AFTER_MAX_S: Final = 3600.0  # whatever a proxy says
ABNORMAL: Final = 1006  # there was no CLOSE

_NOT_AGAIN: Final = frozenset({1000, 1002, 1003, 1007, 1009, 1010})
# Answers of proxies and balancers that pass; any other 4xx would be the same the next time. What is
# no 4xx comes from something that stands in the gateway's place for now: a page of maintenance.
_PASSING_STATUSES: Final = frozenset({408, 425, 429})


def comes_back(code: int) -> bool:
    """Whether a close code leaves room for another connection."""
    if 4000 <= code <= 4999:
        return code < 4500
    return code not in _NOT_AGAIN


def status_passes(status: int) -> bool:
    """Whether an HTTP answer to the upgrade may be another one the next time."""
    return not 400 <= status < 500 or status in _PASSING_STATUSES


class Retry:
    """Counts attempts in a row, and says how long to wait before the next."""

    __slots__ = ("_failures", "_random", "_settled_s")

    def __init__(self, random: Random, settled_s: float) -> None:
        self._random = random
        self._settled_s = settled_s
        self._failures = 0

    def ended(self, lived_s: float) -> None:
        """A connection ended: one that had lived for a while was no failure."""
        if lived_s >= self._settled_s:
            self._failures = 0

    def handover_s(self, lived_s: float) -> float:
        """For the connection after one that is to be left: none, but for several in a row."""
        self.ended(lived_s)
        if self._failures:
            return self.delay_s()
        self._failures = 1
        return 0.0

    def delay_s(self, retry_after_s: float = 0.0) -> float:
        """For the next attempt; not before ``retry_after_s``, and spread from there on."""
        self._failures += 1
        jitter_s = full_jitter(self._failures, base_s=BASE_S, cap_s=CAP_S, random=self._random)
        return min(max(retry_after_s, 0.0), RETRY_AFTER_MAX_S) + jitter_s
