# What a client that was cut off can have again, and where it knows more than the gateway.

from libc.stdint cimport uint32_t, uint64_t

from wsgate.core.channel cimport channel_t
from wsgate.core.history cimport History
from wsgate.core.roster cimport Roster


cdef class Recovery(Roster):
    cdef:
        readonly History history
        dict silences           # slot -> {channel id: position up to which nothing is sent}

    cdef uint64_t stands_at(self, channel_t* channel) noexcept nogil
    cdef bint is_whole(self, uint32_t id, uint64_t reached) except -1
    cdef int silence(self, uint32_t slot, uint32_t id, uint64_t until) except -1
    cdef bint is_silent(self, uint32_t slot, uint32_t id) except -1
    cdef int end_silence(self, uint32_t slot, uint32_t id) except -1
    cdef int end_silences_on(self, uint32_t id) except -1
    cdef int move_to(self, uint32_t id, uint32_t epoch) except -1
    cdef bint replay(self, uint32_t slot, uint32_t id, uint64_t after, list earlier) except -1
    cdef bint catch_up_state(self, uint32_t slot, uint32_t id, uint64_t after) except -1
