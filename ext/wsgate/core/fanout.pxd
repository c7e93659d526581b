# From publications to outboxes: the object that the shell drives.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from wsgate.core.channel cimport channel_t
from wsgate.core.counters cimport RULES_MAX
from wsgate.core.frame cimport frame_t
from wsgate.core.index cimport topic_t
from wsgate.core.recovery cimport Recovery

# State channels that were published and not yet spread, first come first.
cdef struct pending_t:
    uint32_t* ids               # owned
    uint32_t head
    uint32_t len
    uint32_t cap


cdef class Fanout(Recovery):
    cdef:
        uint8_t overflow_closes[RULES_MAX]
        uint32_t stamp          # number of the publication that is being put into outboxes
        pending_t pending
        uint64_t now_ms         # as of the last flush or tick

    cdef uint32_t next_stamp(self) noexcept
    cdef int publish_event(self, uint32_t id, bytes payload) except -1
    cdef uint32_t put(self, topic_t* topic, frame_t* frame, uint32_t id) except? 0xFFFFFFFF
    cdef channel_t* numbered(self, uint64_t id, uint64_t seq, uint32_t epoch) except? NULL
    cdef int remember(self, uint32_t id, frame_t* frame) except -1
    cdef int lose_all(self, topic_t* topic, uint8_t rule) except -1
    cdef int publish_state(self, uint32_t id, bytes payload) except -1
    cdef uint32_t audience(self, uint32_t id) except? 0xFFFFFFFF
    cdef int add_pending(self, uint32_t id) except -1
    cdef int spread(self, uint32_t id) except -1
    cdef uint32_t owe_all(self, topic_t* topic, uint32_t id) except? 0xFFFFFFFF
    cdef int offer_all(self, topic_t* topic, uint32_t id) except -1
    cdef int strike(self, uint32_t slot) except -1
