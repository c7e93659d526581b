# Every connection's outbox, and which of them are dirty.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from wsgate.core.bitmap cimport bitmap_set, bitmap_t
from wsgate.core.channel cimport Channels
from wsgate.core.counters cimport Counters
from wsgate.core.deflate cimport Deflater
from wsgate.core.frame cimport Frame
from wsgate.core.outbox cimport BLOCKED, DOOMED, PAUSED, limits_t, outbox_t
from wsgate.core.slots cimport Slots


cdef class Outboxes:
    cdef:
        readonly Counters counters
        readonly Slots slots
        Channels channels
        Deflater deflater
        outbox_t* outboxes      # owned, by slot
        uint32_t cap
        limits_t limits
        bitmap_t dirty          # slots that are owed anything and may be written to
        bitmap_t urgent         # of those: owed a reply, so no window delays them
        list doomed             # (handle, reason)

    cdef outbox_t* find(self, uint64_t handle) noexcept
    cdef int push_control(self, uint32_t slot, Frame frame) except -1
    cdef void hurry_slot(self, uint32_t slot) noexcept nogil
    cdef int doom(self, uint32_t slot, str reason) except -1

    cdef inline void mark(self, uint32_t slot, outbox_t* box) noexcept nogil:
        # A blocked connection is not visited: it is marked when its transport resumes; nor is a
        # paused one, but for replies.
        if not box.flags & (BLOCKED | DOOMED | PAUSED):
            bitmap_set(&self.dirty, slot)
