# When a channel's keyframe is worth replacing: by what deltas cost, and what keyframes cost.

from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef struct renewal_t:
    uint32_t since              # deltas since the keyframe
    uint32_t fresh_16           # what the first delta after a keyframe takes, smoothed; bytes * 16
    uint32_t regret             # bytes that the deltas since took more than that
    uint32_t price              # bytes that a renewal costs for each who keeps step, smoothed
    uint8_t renewed             # ever: a first keyframe is whatever happened to come first


cdef bint renewal_due(renewal_t* self, uint32_t size) noexcept nogil
cdef void renewal_done(renewal_t* self, uint64_t catch_up_bytes, uint32_t in_step) noexcept nogil


cdef class Renewal:
    cdef renewal_t raw
