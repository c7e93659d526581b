# Numbers counted in buckets: how they are spread, for a report.

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

cdef enum:
    BOUNDS_MAX = 32


cdef struct buckets_t:
    uint32_t bounds[BOUNDS_MAX]         # ascending
    uint32_t len                        # how many bounds there are
    uint64_t counts[BOUNDS_MAX + 1]     # up to each bound and above the one before; last: above all
    uint64_t sum                        # of the numbers


cdef inline int buckets_begin(buckets_t* self, bounds) except -1:
    if len(bounds) > BOUNDS_MAX:
        raise ValueError(f"at most {BOUNDS_MAX} bounds are possible, not {len(bounds)}")
    memset(self, 0, sizeof(buckets_t))
    for bound in bounds:
        self.bounds[self.len] = bound
        self.len += 1
    return 0


cdef inline void buckets_add(buckets_t* self, uint32_t number) noexcept nogil:
    cdef uint32_t at = 0
    while at < self.len and number > self.bounds[at]:
        at += 1
    self.counts[at] += 1
    self.sum += number


cdef inline tuple buckets_end(const buckets_t* self):
    cdef uint32_t at
    return [self.counts[at] for at in range(self.len + 1)], self.sum
