# The newest events of each channel, for who comes back.

from libc.stdint cimport uint32_t, uint64_t

from wsgate.core.counters cimport RULES_MAX
from wsgate.core.frame cimport frame_t


cdef struct event_t:
    frame_t* frame              # owned
    uint64_t seq
    uint64_t since              # of its channel nothing lies between this position and `seq`
    uint64_t at_ms
    uint32_t channel
    event_t* next               # of its channel, the one after it
    event_t* older              # of its rule
    event_t* newer


cdef struct past_t:             # of one channel
    event_t* oldest
    event_t* newest
    uint32_t len


cdef struct shelf_t:            # of one rule
    event_t* oldest
    event_t* newest
    uint64_t bytes
    uint64_t len
    uint64_t bytes_max
    uint32_t count_max          # of one channel; 0: nothing is kept
    uint64_t age_max_ms


cdef class History:
    cdef:
        past_t* pasts           # owned, by channel id
        uint32_t cap
        shelf_t shelves[RULES_MAX]
        uint32_t rules

    cdef int reserve(self, uint32_t channels) except -1
    cdef int keep(
        self, uint32_t channel, frame_t* frame, uint64_t seq, uint64_t since, uint64_t now_ms
    ) except -1
    cdef int forget(self, uint32_t channel) except -1
    cdef int expire(self, uint64_t now_ms) except -1
    cdef event_t* first_after(self, uint32_t channel, uint64_t seq) noexcept nogil

    # its own
    cdef int _drop_oldest(self, uint32_t channel) except -1
