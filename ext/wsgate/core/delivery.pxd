# Every connection's outbox, which of them are dirty, and the writes that empty them.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from wsgate.core.bitmap cimport bitmap_set, bitmap_t
from wsgate.core.channel cimport Channels
from wsgate.core.counters cimport Counters
from wsgate.core.deflate cimport Deflater
from wsgate.core.frame cimport Frame, frame_t
from wsgate.core.outbox cimport BLOCKED, DOOMED, PAUSED, batch_t, limits_t, outbox_t
from wsgate.core.sink cimport Sink
from wsgate.core.slots cimport Slots


# A round over the slots: every one that was dirty when it began is visited once.
cdef struct round_t:
    uint32_t turn               # multiples of the golden ratio: where rounds begin spreads evenly,
    uint32_t start              # ... so that nobody is always last
    uint32_t at                 # where it goes on
    uint8_t wrapped             # only slots below `start` are left
    uint8_t active


cdef class Delivery:
    cdef:
        readonly Counters counters
        readonly Slots slots
        Channels channels
        Sink sink
        outbox_t* outboxes      # owned, by slot
        uint32_t cap
        limits_t limits
        bitmap_t dirty          # slots that are owed anything and may be written to
        bitmap_t urgent         # of those: owed a reply, so no window delays them
        uint32_t urgent_at      # where the next urgent visit looks first
        round_t round           # over `dirty`
        readonly uint64_t visited       # by rounds so far
        list doomed             # (handle, reason)
        object gap_message      # (rules mask) -> payload of the gap message
        dict gap_frames         # rules mask -> Frame
        batch_t batch
        Deflater deflater

    cdef outbox_t* find(self, uint64_t handle) noexcept
    cdef int push_control(self, uint32_t slot, Frame frame) except -1
    cdef void hurry_slot(self, uint32_t slot) noexcept nogil
    cdef int miss(self, uint32_t slot, uint64_t rule_bits, bint closes) except -1
    cdef int doom(self, uint32_t slot, str reason) except -1
    cdef int lose(self, uint32_t slot, uint64_t rule_bits) except -1
    cdef Frame gap_frame(self, uint64_t rules_mask)
    cdef int write_gap(self, outbox_t* box) except -1
    cdef int visit(self, uint32_t slot) except -1
    cdef int write_single(self, uint32_t slot, outbox_t* box) except -1
    cdef int write_batch(self, uint32_t slot, outbox_t* box) except -1
    cdef int cut(self, uint32_t slot, outbox_t* box, frame_t* frame, size_t sent) except -1
    cdef void warm_up(self, uint32_t slot, uint32_t end) noexcept nogil
    cdef bint flush_round(self, uint32_t visits, uint32_t more) except -1

    cdef inline void mark(self, uint32_t slot, outbox_t* box) noexcept nogil:
        # A blocked connection is not visited: it is marked when its transport resumes; nor is a
        # paused one, but for replies.
        if not box.flags & (BLOCKED | DOOMED | PAUSED):
            bitmap_set(&self.dirty, slot)
