# Who is connected, which channels are known, who is subscribed to what.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from wsgate.core.channel cimport Channels
from wsgate.core.counters cimport Counters
from wsgate.core.delivery cimport Delivery
from wsgate.core.index cimport Index
from wsgate.core.pace cimport Paces
from wsgate.core.wheel cimport Wheel

cdef enum Timer:
    TIMER_PACE = 0              # a max_rate clock strikes: the core's own
    TIMER_ALIVE = 1             # the shell's: ping, idle
    TIMER_CLOSE = 2             # the shell's: how long a closing handshake may take
    TIMER_LOGIN = 3             # the shell's: a first credential is due, or a token ends
    TIMERS = 4


cdef class Roster:
    cdef:
        readonly Counters counters
        readonly Index index
        readonly Channels channels
        readonly Delivery delivery
        readonly Wheel wheel
        Paces paces
        list rules              # (type, kind)
        uint32_t channels_max

    cdef uint32_t known_channel(self, str name) except? 0xFFFFFFFF                  # NO_ID
    cdef uint32_t ensure_channel(self, str name, uint8_t rule, uint32_t epoch) except? 0xFFFFFFFF
    cdef int forget_channel(self, uint32_t id) except -1
    cdef uint32_t slot_of(self, uint64_t handle) except? 0xFFFFFFFF
    cdef bint join(self, uint32_t slot, uint32_t id, uint32_t interval_ms) except -1
    cdef int settle(self, uint32_t id) except -1
    cdef int owe(self, uint32_t slot, uint32_t id) except -1
    cdef int disown(self, uint32_t slot, uint32_t id) except -1
    cdef bint matched(self, bytes pattern, uint32_t channel) except -1
    cdef list values_matching(self, str pattern)
    cdef list due_matching(self, uint32_t slot, str pattern)
    cdef int drop_pattern(self, uint32_t id) except -1
    cdef int end_subscription(self, uint32_t slot, uint32_t id) except -1
    cdef int purge(self, uint32_t slot, str ended, list states) except -1
    cdef dict uses(self)
