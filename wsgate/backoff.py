"""How long to wait before trying again."""

from __future__ import annotations

from random import Random

# 2**64 times any base is past every cap, and still a float: an outage may last for ever.
_EXPONENT_MAX = 64


def full_jitter(failures: int, *, base_s: float, cap_s: float, random: Random) -> float:
    """A delay anywhere between nothing and a ceiling that doubles with each failure up to a cap.

    Drawing from the whole range, not from around its top, spreads a fleet that lost the same server
    at the same moment as evenly as can be.
    """
    ceiling_s = min(cap_s, base_s * 2.0 ** min(failures, _EXPONENT_MAX))
    return random.uniform(0.0, ceiling_s)
