"""How much a client may ask: token buckets, one or by key.

Time comes in as a number of seconds, from a clock that does not go back (a loop's own). If it
does all the same, nothing is gained by that and nobody is locked out.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

# What is missing to a cost by no more than this is rounding: who asks at the rate, or after
# wait_s, is not turned away for a last bit.
_ROUNDING_TOKENS: Final = 1e-6

# Forgotten at most for each take. It adds at most one, so two get rid of all that is idle.
_FORGOTTEN_PER_TAKE: Final = 2


class TokenBucket:
    """Holds up to ``burst`` tokens, full at first, and gains ``rate_per_s`` of them a second.

    The level is kept as tokens and not as a time when it will be full: a number of the burst's size
    keeps its precision however long the clock has been running. Both parameters are above 0.
    """

    __slots__ = ("_at_s", "_level", "burst", "rate_per_s")

    def __init__(self, rate_per_s: float, burst: float) -> None:
        # Also refuses NaN, which compares with nothing.
        if not 0 < rate_per_s < math.inf or not 0 < burst < math.inf:
            raise ValueError(
                f"rate_per_s and burst must be above 0, and finite, not {rate_per_s} and {burst}"
            )
        self.rate_per_s = rate_per_s
        self.burst = burst
        self._level = burst
        self._at_s = -math.inf

    def take(self, now_s: float, cost: float = 1.0) -> bool:
        """Takes ``cost`` tokens, not below 0, if there are as many; else none."""
        self._level = level = self.level(now_s)
        # Also when the clock went back: from there on the bucket gains again.
        self._at_s = now_s
        if level + _ROUNDING_TOKENS < cost:
            return False
        self._level = max(0.0, level - cost)
        return True

    def has(self, now_s: float, cost: float = 1.0) -> bool:
        """Whether ``take`` would."""
        return self.level(now_s) + _ROUNDING_TOKENS >= cost

    def wait_s(self, now_s: float, cost: float = 1.0) -> float:
        """Seconds until there are ``cost`` tokens: 0 if there are, infinite if there never are."""
        if cost > self.burst + _ROUNDING_TOKENS:
            return math.inf
        return max(0.0, cost - self.level(now_s)) / self.rate_per_s

    def level(self, now_s: float) -> float:
        """Tokens there are, from 0 to ``burst``."""
        elapsed_s = now_s - self._at_s
        if elapsed_s <= 0:
            return self._level
        return min(self.burst, self._level + elapsed_s * self.rate_per_s)


_Key = TypeVar("_Key", bound=Hashable)


class RateTable(Generic[_Key]):
    """A token bucket for each key, at most ``keys_max`` of them.

    A bucket that is full again is as good as none, and is forgotten by later takes: what remains is
    the keys of about the last ``burst / rate_per_s`` seconds. If these are more than ``keys_max``,
    the one that has been quiet for longest is forgotten before its time and may have its burst
    again; ``evicted`` counts that. To refuse new keys instead would let whoever has
    many addresses lock out everybody else.
    """

    __slots__ = ("_buckets", "_burst", "_keys_max", "_rate_per_s", "evicted")

    def __init__(self, rate_per_s: float, burst: float, keys_max: int) -> None:
        TokenBucket(rate_per_s, burst)  # complains now, not with the first client
        if keys_max < 1:
            raise ValueError(f"keys_max must be at least 1, not {keys_max}")
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._keys_max = keys_max
        # The key that has been quiet for longest first. A plain dict would be slow to say which
        # that is: it steps over all that has been removed at its front.
        self._buckets: OrderedDict[_Key, TokenBucket] = OrderedDict()
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: _Key, now_s: float, cost: float = 1.0) -> bool:
        """Takes ``cost`` tokens, not below 0, of the key's bucket if it has them."""
        self._forget(now_s)
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self._keys_max:
                self._buckets.popitem(last=False)
                self.evicted += 1
            bucket = self._buckets[key] = TokenBucket(self._rate_per_s, self._burst)
        else:
            self._buckets.move_to_end(key)
        return bucket.take(now_s, cost)

    def wait_s(self, key: _Key, now_s: float, cost: float = 1.0) -> float:
        """Seconds until the key's bucket has ``cost`` tokens; infinite if it never has."""
        bucket = self._buckets.get(key) or TokenBucket(self._rate_per_s, self._burst)
        return bucket.wait_s(now_s, cost)

    def _forget(self, now_s: float) -> None:
        for _ in range(_FORGOTTEN_PER_TAKE):
            if not self._buckets:
                return
            oldest = next(iter(self._buckets))
            if self._buckets[oldest].level(now_s) < self._burst:
                return
            del self._buckets[oldest]
