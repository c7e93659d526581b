# The writes that empty outboxes.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from wsgate.core.frame cimport Frame, frame_t
from wsgate.core.outbox cimport BLOCKED, DOOMED, PAUSED, batch_t, outbox_t
from wsgate.core.outboxes cimport Outboxes
from wsgate.core.sink cimport Sink


# A round over the slots: every one that was dirty when it began is visited once.
cdef struct round_t:
    uint32_t turn               # multiples of the golden ratio: where rounds begin spreads evenly,
    uint32_t start              # ... so that nobody is always last
    uint32_t at                 # where it goes on
    uint8_t wrapped             # only slots below `start` are left
    uint8_t active


cdef class Delivery(Outboxes):
    cdef:
        Sink sink
        uint32_t urgent_at      # where the next urgent visit looks first
        round_t round           # over the dirty slots
        readonly uint64_t visited       # by rounds so far
        object gap_message      # (rules mask) -> payload of the gap message
        dict gap_frames         # rules mask -> Frame
        batch_t batch

    cdef int miss(self, uint32_t slot, uint64_t rule_bits, bint closes) except -1
    cdef int lose(self, uint32_t slot, uint64_t rule_bits) except -1
    cdef Frame gap_frame(self, uint64_t rules_mask)
    cdef int write_gap(self, outbox_t* box) except -1
    cdef int visit(self, uint32_t slot) except -1
    cdef int write_single(self, uint32_t slot, outbox_t* box) except -1
    cdef int write_batch(self, uint32_t slot, outbox_t* box) except -1
    cdef int cut(self, uint32_t slot, outbox_t* box, frame_t* frame, size_t sent) except -1
    cdef void warm_up(self, uint32_t slot, uint32_t end) noexcept nogil
    cdef bint flush_round(self, uint32_t visits, uint32_t more) except -1
