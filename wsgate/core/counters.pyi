"""Totals that the hot path adds to and a scrape reads."""

class Counters:
    """64-bit totals of one fan-out."""

    def snapshot(self) -> dict[str, int]:
        """Return every total by name; a new dict each time."""

def live_objects() -> dict[str, int]:
    """Frames and memory blocks that the core holds right now, over the whole process."""
