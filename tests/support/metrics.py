"""What /metrics says, of all workers together."""

from __future__ import annotations

import re

_PARTS = re.compile(r',?(worker="\d+"|subject="[^"]*",type="[^"]*")')


def summed(text: str) -> dict[str, float]:
    """Every sample, by its name with labels as they stand there, but for worker's and rule's.

    Of several workers, or rules, the sum; the supervisor has no part in it.
    """
    found: dict[str, float] = {}
    for line in text.splitlines():
        if not line.startswith("#") and 'worker="supervisor"' not in line:
            name, value = line.rsplit(" ", 1)
            plain = _PARTS.sub("", name).replace("{,", "{").replace("{}", "")
            found[plain] = found.get(plain, 0.0) + float(value)
    return found
