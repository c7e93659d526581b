# max_rate: which connections want their state channels at most so often, and what is held for them.

from libc.stdint cimport uint32_t, uint64_t

from wsgate.core.channel cimport Channels
from wsgate.core.idset cimport idset_t

cdef enum:
    PACE_GROUPS_MAX = 8         # different rates on one connection


cdef struct pace_group_t:
    uint32_t interval_ms        # 0: not in use
    uint32_t subscriptions      # how many of the connection's are in it
    uint64_t next_ms            # nothing of the group is released before, but what the clock let
    uint32_t instant            # through in this very flush
    idset_t held                # channels published meanwhile; a use of each is owned


cdef class Pace:
    cdef pace_group_t groups[PACE_GROUPS_MAX]

    cdef uint64_t next_release(self) noexcept


cdef class Paces:
    cdef list by_slot           # Pace, or None
    cdef Channels channels
    cdef uint32_t instant       # goes up with every flush
    cdef uint32_t count         # connections that have clocks

    cdef int reserve(self, uint32_t slots) except -1
    cdef uint32_t group_for(self, uint32_t slot, uint32_t interval_ms) except? 0xFFFFFFFF
    cdef int join(self, uint32_t slot, uint32_t group) except -1
    cdef int leave(self, uint32_t slot, uint32_t group) except -1
    cdef int offer(self, uint32_t slot, uint32_t group, uint32_t id, uint64_t now_ms) except -1
    cdef list take_due(self, uint32_t slot, uint64_t now_ms)
    cdef uint64_t next_release(self, uint32_t slot) except? 0
    cdef list held(self, uint32_t slot)
    cdef int give_up(self, uint32_t slot, unwanted) except -1
    cdef int forget(self, uint32_t slot) except -1

    # its own
    cdef int _release_if_idle(self, pace_group_t* group) except -1


cdef enum Offer:
    RELEASED = 0                # owe it now
    HELD = 1                    # the clock will strike for it
    CONFLATED = 2               # it was held already: the newer value takes its place
