# Dense connection numbers that are given again, and handles that are not.

from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef class Slots:
    cdef:
        uint32_t* generations   # owned, by slot; odd while the slot is taken
        uint32_t* free_slots    # owned; a stack
        uint32_t free_len
        readonly uint32_t limit     # slots ever given are below
        uint32_t cap
        readonly uint32_t count     # taken now

    cdef uint64_t acquire(self) except 0
    cdef int release(self, uint32_t slot) except -1
    cdef uint64_t handle(self, uint32_t slot) noexcept nogil
    cdef int64_t resolve(self, uint64_t handle) noexcept nogil     # the slot, or -1: it is gone
