"""Totals that the hot path adds to and a scrape reads.

Owns: one ``counters_t`` for each hub, and the process-wide live-object counts.
Never: locks, allocates, or knows a metrics library.
Invariant: totals only grow; ``live`` is zero when every core object is gone.
Cost: an increment is one add on a line that the flush keeps warm; ``snapshot`` builds a dict.
"""

from libc.stdint cimport uint32_t

live.frames = 0
live.blocks = 0


cdef class Counters:
    """64-bit totals of one fan-out. ``snapshot()`` reads them all."""

    def snapshot(self) -> dict:
        """Return every total by name, with the sums of those counted apart; a new dict each time."""
        cdef dict found = self.totals
        cdef int rule
        cdef uint64_t publications = 0
        cdef uint64_t deliveries = 0
        for rule in range(RULES_MAX):
            publications += self.by_rule[rule].publications
            deliveries += self.by_rule[rule].deliveries
        found["publications"] = publications
        found["deliveries"] = deliveries
        found["conflated"] = (
            self.totals.conflated_gathered + self.totals.conflated_owed + self.totals.conflated_held)
        found["dropped"] = (
            self.totals.dropped_gap + self.totals.dropped_close + self.totals.dropped_rate)
        return found

    def of_rule(self, rule: int) -> dict:
        """Return the totals of channels of the rule at this place."""
        if not 0 <= rule < RULES_MAX:
            raise IndexError(f"a rule's place is from 0 to {RULES_MAX - 1}, not {rule}")
        return self.by_rule[<uint32_t>rule]


def live_objects() -> dict:
    """Frames and memory blocks that the core holds right now, over the whole process.

    Tests assert that both are back to zero once every core object is gone.
    """
    return live
