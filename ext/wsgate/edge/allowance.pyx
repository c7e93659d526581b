"""How much one connection may ask: a token bucket for commands and one for pings, of 8 bytes each.

Owns the rates, which are the same for all connections; each keeps its own two buckets. The rules are
those of ``wsgate.rates.TokenBucket``, without an object for each.
Cost: a clock that the kernel keeps in memory, which steps every few milliseconds, and some arithmetic.
"""

from libc.stdint cimport uint32_t, uint64_t


cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    enum:
        CLOCK_MONOTONIC_COARSE
    int clock_gettime(int clock, timespec* now)


cdef uint32_t _now_ms() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now)
    return <uint32_t>(<uint64_t>now.tv_sec * 1000 + <uint64_t>now.tv_nsec // 1_000_000)


cdef bint _take(Bucket* bucket, double per_s, double burst) noexcept nogil:
    """Whether there was a token; who waits for 49 days gains less than he could."""
    cdef uint32_t now_ms = _now_ms()
    cdef double level = bucket.level + <uint32_t>(now_ms - bucket.at_ms) * per_s / 1000
    bucket.at_ms = now_ms
    if level > burst:
        level = burst
    if level < 1:
        bucket.level = <float>level
        return False
    bucket.level = <float>(level - 1)
    return True


cdef class Allowance:
    """Commands and pings a second, and how many at once. A rate of 0 is no limit."""

    def __init__(self, *, commands_per_s: float, commands_burst: float,
                 pings_per_s: float, pings_burst: float):
        self.commands_per_s = commands_per_s
        self.commands_burst = commands_burst
        self.pings_per_s = pings_per_s
        self.pings_burst = pings_burst

    cdef void fill(self, Bucket* commands, Bucket* pings) noexcept:
        """The buckets of a new connection."""
        commands.at_ms = pings.at_ms = _now_ms()
        commands.level = <float>self.commands_burst
        pings.level = <float>self.pings_burst

    cdef bint command(self, Bucket* bucket) noexcept:
        """Whether the connection may give one more."""
        return self.commands_per_s == 0 or _take(bucket, self.commands_per_s, self.commands_burst)

    cdef bint ping(self, Bucket* bucket) noexcept:
        """Whether the connection may send one more."""
        return self.pings_per_s == 0 or _take(bucket, self.pings_per_s, self.pings_burst)
