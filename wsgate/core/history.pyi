"""History: the newest events of each channel, for clients that come back."""

from collections.abc import Sequence

class History:
    """`limits`: for each rule (events of a channel, bytes, milliseconds)."""

    def __init__(self, limits: Sequence[tuple[int, int, int]]) -> None: ...
    def of_rule(self, rule: int) -> tuple[int, int]:
        """(events, bytes) that are kept of a rule's channels."""

    def check(self) -> None:
        """Assert the invariant and the limits; O(events)."""
