# How much one connection may ask.

from libc.stdint cimport uint32_t


cdef struct Bucket:
    float level                 # tokens left
    uint32_t at_ms              # when that was; wraps


cdef class Allowance:
    cdef:
        readonly double commands_per_s
        readonly double commands_burst
        readonly double pings_per_s
        readonly double pings_burst

    cdef void fill(self, Bucket* commands, Bucket* pings) noexcept
    cdef bint command(self, Bucket* bucket) noexcept
    cdef bint ping(self, Bucket* bucket) noexcept
