"""Totals that the hot path adds to and a scrape reads."""

class Counters:
    """64-bit totals of one fan-out."""

    def snapshot(self) -> dict[str, int]:
        """Return every total by name, and the sums of those counted apart; a new dict."""

    def of_rule(self, rule: int) -> dict[str, int]:
        """Return the totals of channels of the rule at this place."""

def live_objects() -> dict[str, int]:
    """Frames and memory blocks that the core holds right now, over the whole process."""
