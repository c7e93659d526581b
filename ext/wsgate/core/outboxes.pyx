"""Outboxes: one for each connection, and which of them are dirty.

Owns: the slots, their outboxes, which are dirty. Never: writes (``Delivery`` does), closes a connection or
calls its owner: who has to go is put on the list that ``take_doomed`` empties.
Invariant: a slot is dirty exactly while it has a connection that is owed something which may be written:
not while it is blocked, until its transport resumes, nor, but for replies, while it is paused.
Cost: everything O(1) but what is said to all, and reports.
"""

cimport cython
from libc.string cimport memset

from wsgate.core.bitmap cimport (
    bitmap_clear,
    bitmap_free,
    bitmap_reserve,
    bitmap_set,
    bitmap_test,
)
from wsgate.core.memory cimport free_block, grown, resize_block
from wsgate.core.outbox cimport (
    CLOSING,
    OPEN,
    outbox_clear,
    outbox_free,
    outbox_has_work,
    outbox_owes,
    outbox_push_control,
)

cdef enum:
    EVENTS_COUNT_LIMIT = 32768      # outbox_t counts in 16 bits

SLOW = "slow_consumer"              # passed a limit that does not allow for a gap
BROKEN = "broken"                   # the sink says the connection is gone
CLOSED = "closed"                   # CLOSE has been written


@cython.no_gc_clear             # giving outboxes back needs the channels
cdef class Outboxes:
    """Limits are per connection: `events_bytes_max` and `events_count_max` (at most 32768) for the
    events lane, `control_bytes_max` for replies. `compress` and `deflate_bytes_min`: see ``Deflater``;
    without, no connection gets deflated frames.
    """

    def __init__(self, channels: Channels, counters: Counters, *,
                 events_bytes_max: int, events_count_max: int, control_bytes_max: int,
                 compress=None, deflate_bytes_min: int = 0):
        if not 0 < events_count_max <= EVENTS_COUNT_LIMIT:
            raise ValueError(
                f"events_count_max must be from 1 to {EVENTS_COUNT_LIMIT}, not {events_count_max}")
        self.channels = channels
        self.counters = counters
        self.deflater = Deflater(counters, compress, deflate_bytes_min)
        self.limits.events_bytes_max = events_bytes_max
        self.limits.events_count_max = events_count_max
        self.limits.control_bytes_max = control_bytes_max

    def __cinit__(self, *args, **kwargs):
        self.slots = Slots()
        self.doomed = []

    def __dealloc__(self):
        cdef uint32_t slot
        for slot in range(self.cap):
            if self.outboxes[slot].flags & OPEN:
                outbox_free(&self.outboxes[slot], self.channels)
        free_block(self.outboxes)
        bitmap_free(&self.dirty)
        bitmap_free(&self.urgent)

    # connections

    def open(self, window_bits: int = 0) -> int:
        """Take a slot for a new connection; returns its handle.

        `window_bits`, 8 to 15: the client inflates frames that refer back no farther than that.
        """
        if window_bits and (self.deflater.compress is None or not 8 <= window_bits <= 15):
            raise ValueError(f"no frames can be made for an inflate window of {window_bits} bits")
        cdef uint64_t handle = self.slots.acquire()
        cdef uint32_t slot = <uint32_t>handle
        cdef uint32_t cap
        if slot >= self.cap:
            cap = grown(self.cap, slot + 1, 64)
            self.outboxes = <outbox_t*>resize_block(self.outboxes, cap * sizeof(outbox_t))
            memset(self.outboxes + self.cap, 0, (cap - self.cap) * sizeof(outbox_t))
            bitmap_reserve(&self.dirty, cap)
            bitmap_reserve(&self.urgent, cap)
            self.cap = cap
        self.outboxes[slot].flags = OPEN
        self.outboxes[slot].window_bits = window_bits
        return handle

    def release(self, handle: int) -> bool:
        """The connection is gone: give up what it is owed and its slot. False if it was released."""
        cdef outbox_t* box = self.find(handle)
        cdef uint32_t slot = <uint32_t><uint64_t>handle
        if box == NULL:
            return False
        bitmap_clear(&self.dirty, slot)
        bitmap_clear(&self.urgent, slot)
        outbox_free(box, self.channels)
        self.slots.release(slot)
        return True

    cdef outbox_t* find(self, uint64_t handle) noexcept:
        """The outbox behind a handle, NULL if its connection is gone."""
        cdef int64_t slot = self.slots.resolve(handle)
        return NULL if slot < 0 else &self.outboxes[slot]

    def block(self, handle: int) -> None:
        """The transport holds something, or is paused: send nothing until ``resume``."""
        cdef outbox_t* box = self.find(handle)
        if box != NULL:
            box.flags |= BLOCKED
            bitmap_clear(&self.dirty, <uint32_t><uint64_t>handle)
            bitmap_clear(&self.urgent, <uint32_t><uint64_t>handle)

    def resume(self, handle: int) -> None:
        """The transport is empty again."""
        cdef outbox_t* box = self.find(handle)
        if box != NULL:
            box.flags &= ~BLOCKED
            if outbox_has_work(box) and not box.flags & DOOMED:
                bitmap_set(&self.dirty, <uint32_t><uint64_t>handle)
            if box.control != NULL:
                self.hurry(handle)

    def pause(self, handle: int) -> None:
        """The client wants no publications for now: they wait, as for one that reads slowly."""
        cdef outbox_t* box = self.find(handle)
        if box != NULL and not box.flags & CLOSING:
            box.flags |= PAUSED
            if box.control == NULL:
                bitmap_clear(&self.dirty, <uint32_t><uint64_t>handle)
                bitmap_clear(&self.urgent, <uint32_t><uint64_t>handle)

    def unpause(self, handle: int) -> None:
        """It wants them again, and what has waited."""
        cdef outbox_t* box = self.find(handle)
        if box != NULL:
            box.flags &= ~PAUSED
            if outbox_owes(box):
                self.mark(<uint32_t><uint64_t>handle, box)

    def is_blocked(self, handle: int) -> bool:
        """Whether the connection waits for its transport."""
        cdef outbox_t* box = self.find(handle)
        return box != NULL and (box.flags & BLOCKED) != 0

    # the control lane

    cdef int push_control(self, uint32_t slot, Frame frame) except -1:
        cdef outbox_t* box = &self.outboxes[slot]
        if box.flags & (CLOSING | DOOMED):
            return 0
        if not outbox_push_control(box, frame.raw, self.limits.control_bytes_max):
            return self.doom(slot, SLOW)
        if not box.flags & BLOCKED:
            bitmap_set(&self.dirty, slot)       # also if it is paused
        return 0

    def reply(self, handle: int, frame: Frame) -> None:
        """Owe `frame` at the end of the tick, before everything else that is owed."""
        cdef outbox_t* box = self.find(handle)
        cdef uint32_t slot = <uint32_t><uint64_t>handle
        if box != NULL:
            self.push_control(slot, frame)
            self.hurry_slot(slot)

    def hurry(self, handle: int) -> None:
        """Let what is owed to this connection leave at the end of the tick, whatever the window."""
        if self.find(handle) != NULL:
            self.hurry_slot(<uint32_t><uint64_t>handle)

    cdef void hurry_slot(self, uint32_t slot) noexcept nogil:
        if bitmap_test(&self.dirty, slot):
            bitmap_set(&self.urgent, slot)

    def tell_all(self, frame: Frame) -> None:
        """Owe the control-lane `frame` to every connection, at the end of the tick."""
        cdef uint32_t slot
        for slot in range(self.slots.limit):
            if self.outboxes[slot].flags & OPEN:
                self.push_control(slot, frame)
                self.hurry_slot(slot)

    def end(self, handle: int, frame: Frame, flush_owed: bool) -> None:
        """Owe the CLOSE `frame`, after everything owed, or in its place; nothing is taken after it."""
        cdef outbox_t* box = self.find(handle)
        cdef uint32_t slot = <uint32_t><uint64_t>handle
        if box == NULL or box.flags & (CLOSING | DOOMED):
            return
        if not flush_owed:
            outbox_clear(box, self.channels)
        outbox_push_control(box, frame.raw, self.limits.control_bytes_max)
        box.flags = (box.flags | CLOSING) & ~PAUSED
        self.mark(slot, box)
        self.hurry_slot(slot)

    # who has to go

    cdef int doom(self, uint32_t slot, str reason) except -1:
        """Put the connection on the list of those that their owner must end."""
        cdef outbox_t* box = &self.outboxes[slot]
        if not box.flags & DOOMED:
            box.flags |= DOOMED
            self.doomed.append((self.slots.handle(slot), reason))
        bitmap_clear(&self.dirty, slot)
        bitmap_clear(&self.urgent, slot)
        return 0

    def take_doomed(self) -> list:
        """The (handle, reason) of connections to end, once each: SLOW, BROKEN or CLOSED."""
        doomed = self.doomed
        if doomed:
            self.doomed = []
        return doomed

    def pardon(self, handle: int) -> None:
        """A doomed connection is to be ended with a CLOSE of its own: drop the rest, take that."""
        cdef outbox_t* box = self.find(handle)
        if box != NULL:
            outbox_clear(box, self.channels)
            box.flags &= ~DOOMED

    # reports

    @property
    def dirty_count(self) -> int:
        """Connections that are owed something and may be written to."""
        return self.dirty.count

    @property
    def urgent_count(self) -> int:
        """Of those: how many are owed a reply."""
        return self.urgent.count

    def owed(self, handle: int) -> dict | None:
        """What a connection is owed, by lane; None if it is gone."""
        cdef outbox_t* box = self.find(handle)
        if box == NULL:
            return None
        return {
            "control": box.control.len if box.control != NULL else 0,
            "control_bytes": box.control.bytes if box.control != NULL else 0,
            "events": box.len,
            "events_bytes": box.bytes,
            "states": box.owed.len,
            "blocked": bool(box.flags & BLOCKED),
            "paused": bool(box.flags & PAUSED),
            "gapped": box.gapped,
        }

    def backlog(self) -> dict:
        """The sum over all connections; O(slots), for a scrape."""
        cdef uint32_t slot
        cdef outbox_t* box
        total_bytes = total_events = total_states = blocked = paused = 0
        for slot in range(self.slots.limit):
            box = &self.outboxes[slot]
            if box.flags & OPEN:
                total_bytes += box.bytes
                total_events += box.len
                total_states += box.owed.len
                blocked += (box.flags & BLOCKED) != 0
                paused += (box.flags & PAUSED) != 0
        return {"events_bytes": total_bytes, "events": total_events, "states": total_states,
                "blocked_connections": blocked, "paused_connections": paused}

    def check(self) -> None:
        """Assert the invariant over everything; O(all that is owed)."""
        cdef uint32_t slot, at
        cdef outbox_t* box
        dirty = urgent = 0
        for slot in range(self.slots.limit):
            box = &self.outboxes[slot]
            dirty += bitmap_test(&self.dirty, slot)
            urgent += bitmap_test(&self.urgent, slot)
            if not box.flags & OPEN:
                assert not outbox_owes(box) and not bitmap_test(&self.dirty, slot)
                continue
            if box.flags & (BLOCKED | DOOMED):
                assert not bitmap_test(&self.dirty, slot)
            elif outbox_has_work(box):
                assert bitmap_test(&self.dirty, slot), f"slot {slot} is owed and forgotten"
            assert sum(box.ring[(box.head + at) & (box.cap - 1)].size
                       for at in range(box.len)) == box.bytes
        assert dirty == self.dirty.count and urgent == self.urgent.count
