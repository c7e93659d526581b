# Timers of all connections: one node for each slot and kind of timer.

from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    WHEEL_TICK_MS = 16          # a timer fires at most this late (and never early)
    WHEEL_BUCKETS = 2048        # one turn is 32.8 s; longer timers are looked at once a turn


cdef struct timer_t:
    uint64_t due_ms
    uint32_t next
    uint32_t prev               # of the first in a bucket: NO_TIMER
    uint32_t bucket             # NO_TIMER while not scheduled


cdef class Wheel:
    cdef:
        timer_t* timers         # owned, by node
        uint32_t nodes
        uint32_t heads[WHEEL_BUCKETS]
        uint64_t tick           # every bucket up to here has been looked at
        readonly uint32_t scheduled

    cdef int reserve(self, uint32_t nodes) except -1
    cdef int schedule_node(self, uint32_t node, uint64_t due_ms) except -1
    cdef void cancel_node(self, uint32_t node) noexcept
    cdef uint32_t pop_due(self, uint64_t now_ms) noexcept
