# What one connection is still owed. A plain struct of one cache line for each slot.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from wsgate.core.channel cimport Channels
from wsgate.core.deflate cimport Deflater
from wsgate.core.frame cimport frame_t
from wsgate.core.idset cimport idset_t
from wsgate.core.index cimport Index
from wsgate.core.sink cimport iovec

cdef enum OutboxFlag:
    OPEN = 1                    # the slot has a connection
    BLOCKED = 2                 # the transport holds something: nothing is sent until it resumed
    CLOSING = 4                 # CLOSE is queued or sent: nothing more is taken
    DOOMED = 8                  # its owner was told to end it: nothing more is taken or sent
    PAUSED = 16                 # its client asked for replies only: publications wait

cdef enum:
    BATCH_FRAMES_MAX = 128      # frames in one write
    BATCH_BYTES_MAX = 65536     # ... and about as many bytes: the kernel takes no more at once


cdef struct limits_t:
    uint32_t events_bytes_max
    uint32_t events_count_max   # at most 32768: ring positions are 16 bits
    uint32_t control_bytes_max


cdef struct control_t:
    frame_t** frames            # owned, and a reference to each
    uint32_t len
    uint32_t cap
    uint32_t bytes
    frame_t* close              # owned; leaves after everything else


cdef struct outbox_t:
    frame_t** ring              # owned; the events lane: cap is a power of two
    uint16_t head
    uint16_t len
    uint16_t cap
    uint8_t flags               # OutboxFlag
    uint8_t window_bits         # permessage-deflate: how far back frames may refer; 0: none agreed
    uint32_t bytes              # in the events lane
    uint32_t stamp              # the last publication that was put here
    idset_t owed                # the state lane: channels whose latest value is owed
    control_t* control          # owned; NULL while nothing is in it
    uint64_t gapped             # rules whose events were dropped after the newest in the ring


# What one write takes from an outbox, in the order it leaves: control, events, state, close.
cdef struct batch_t:
    iovec parts[BATCH_FRAMES_MAX]
    frame_t* frames[BATCH_FRAMES_MAX]   # borrowed: the lanes', or their compressed twins
    uint32_t count
    uint32_t control
    uint32_t events
    uint32_t states
    size_t bytes


cdef int outbox_push_control(outbox_t* self, frame_t* frame, uint32_t bytes_max) except -1
cdef int outbox_push_event(outbox_t* self, frame_t* frame) except -1
cdef int outbox_gather(
    outbox_t* self, batch_t* batch, Channels channels, Deflater deflater
) except -1
cdef int outbox_take(
    outbox_t* self, const batch_t* batch, uint32_t count, Channels channels
) except -1
cdef int outbox_purge_events(outbox_t* self, uint32_t slot, bytes ended, Index index) except -1
cdef int outbox_purge_states(outbox_t* self, unwanted, Channels channels) except -1
cdef int outbox_clear(outbox_t* self, Channels channels) except -1
cdef int outbox_free(outbox_t* self, Channels channels) except -1


cdef inline frame_t* outbox_wire(
    const outbox_t* self, frame_t* frame, Deflater deflater
) except NULL:
    """What goes over this connection's wire for `frame`; borrowed."""
    return deflater.wire_of(frame, self.window_bits) if self.window_bits else frame


cdef inline bint outbox_owes(const outbox_t* self) noexcept nogil:
    return self.len or self.owed.len or self.control != NULL or self.gapped


cdef inline bint outbox_has_work(const outbox_t* self) noexcept nogil:
    """Whether anything could be written, if the transport took it."""
    return self.control != NULL or (not self.flags & PAUSED and outbox_owes(self))


cdef inline bint outbox_has_room(const outbox_t* self, uint32_t size, const limits_t* limits) noexcept nogil:
    return self.len < limits.events_count_max and self.bytes + size <= limits.events_bytes_max
