"""Which channels a token permits: the patterns of one of its claims.

They are NATS subjects, as everywhere. They come on top of the rules: a channel must be some
rule's and permitted as well.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from wsgate.auth.limits import (
    COVERINGS_REMEMBERED_MAX,
    PATTERNS_MAX,
    PERMISSIONS_REMEMBERED_MAX,
)
from wsgate.protocol import is_channel_or_pattern, is_pattern
from wsgate.rules import covers

# Clients ask for the same channels over and over.
_covers = lru_cache(maxsize=COVERINGS_REMEMBERED_MAX)(covers)


class Permissions:
    """Immutable, and shared by all the tokens that say the same."""

    __slots__ = ("_names", "_wildcards", "patterns")

    def __init__(self, patterns: Iterable[str]) -> None:
        """Raise ValueError for too many, or for what is neither a channel nor a pattern."""
        self.patterns = tuple(patterns)
        if len(self.patterns) > PATTERNS_MAX:
            raise ValueError(f"{len(self.patterns)} patterns; allowed are {PATTERNS_MAX}")
        for pattern in self.patterns:
            if type(pattern) is not str or not is_channel_or_pattern(pattern):
                raise ValueError("one of the patterns is neither a channel name nor a pattern")
        self._names = frozenset(self.patterns)
        self._wildcards = tuple(one for one in self.patterns if is_pattern(one))

    def permits(self, name: str) -> bool:
        """Whether one pattern matches the channel or, if ``name`` is a pattern, covers it whole.

        Two patterns that cover it only together do not permit it. ``name`` is well-formed.
        """
        if name in self._names:
            return True
        for wide in self._wildcards:  # noqa: SIM110 (a generator costs as much as all the rest)
            if _covers(wide, name):
                return True
        return False

    def __repr__(self) -> str:
        return f"Permissions({list(self.patterns)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return of_patterns, (self.patterns,)


EVERYTHING: Final = Permissions([">"])
NOTHING: Final = Permissions([])


def of_patterns(patterns: Iterable[str]) -> Permissions:
    """Permissions that come from another process: ``EVERYTHING`` stays the one it is."""
    made = Permissions(patterns)
    return EVERYTHING if made.patterns == EVERYTHING.patterns else made


class PermissionsCache:
    """Makes permissions of claims, one object for equal claims; the least recently used go first.

    Tens of thousands of connections have a handful of different permissions between them.
    """

    __slots__ = ("_entries_max", "_remembered")

    def __init__(self, entries_max: int = PERMISSIONS_REMEMBERED_MAX) -> None:
        self._entries_max = entries_max
        self._remembered: OrderedDict[tuple[str, ...], Permissions] = OrderedDict()

    def __len__(self) -> int:
        return len(self._remembered)

    def of_claim(self, claim: Any) -> Permissions:
        """Raise ValueError unless the claim is an array of well-formed patterns.

        ``null`` is none: some encoders write an empty list so, and a token that was meant to
        permit nothing must not come to mean what a token without the claim does.
        """
        if type(claim) is not list:
            raise ValueError("the claim is not an array")
        patterns = tuple(claim)
        try:
            found = self._remembered[patterns]
        except (KeyError, TypeError):  # TypeError: an array of arrays, which is about to be refused
            found = self._remembered[patterns] = Permissions(patterns)
            if len(self._remembered) > self._entries_max:
                self._remembered.popitem(last=False)
            return found
        self._remembered.move_to_end(patterns)
        return found
