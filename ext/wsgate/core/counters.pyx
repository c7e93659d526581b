"""Totals that the hot path adds to and a scrape reads.

Owns: one ``counters_t`` for each hub, and the process-wide live-object counts.
Never: locks, allocates, or knows a metrics library.
Invariant: totals only grow; ``live`` is zero when every core object is gone.
Cost: an increment is one add on a line that the flush keeps warm; ``snapshot`` builds a dict.
"""

live.frames = 0
live.blocks = 0


cdef class Counters:
    """64-bit totals of one fan-out. ``snapshot()`` reads them all."""

    def snapshot(self) -> dict:
        """Return every total by name; a new dict each time."""
        return self.totals


def live_objects() -> dict:
    """Frames and memory blocks that the core holds right now, over the whole process.

    Tests assert that both are back to zero once every core object is gone.
    """
    return live
