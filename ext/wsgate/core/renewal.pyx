"""When to renew a channel's keyframe: rent or buy, in bytes that were measured.

Owns four numbers a channel. Never: looks at a payload, or at who is subscribed.

    bytes of a delta    fresh ▏▎▎▌▌▌▌▌▋▋▋▋▋▋▊▊▊▊▊▊▊▊   what stands above `fresh` is the regret

A delta grows as its keyframe gets older. Going on with the old keyframe costs each subscriber the *regret*,
delta by delta. A renewal costs nothing to those who hold the old one and get the publication that becomes
the new one; but those who do not keep step are sent a keyframe more: the *price* is their bytes, shared among
those who do. Renewing when the regret reaches the price costs at most twice what the best moment would
have, whatever comes.
A first keyframe, of which nothing is known, is replaced as soon as may be.
Invariant: at least LEAST deltas go between two renewals, at most MOST.
Cost: O(1), a few additions for each publication that is encoded.
"""

cdef enum:
    LEAST = 4                   # deltas: fewer gain a hundredth, and leave whoever misses one behind
    MOST = 1024                 # `fresh` must not be believed for ever
    FLOOR = 8                   # bytes: regret that is noise
    PRICE_MAX = 2048            # bytes: who made it dear may be gone


cdef bint renewal_due(renewal_t* self, uint32_t size) noexcept nogil:
    """A delta took `size` bytes; whether its payload had better be the next keyframe."""
    cdef uint32_t size_16 = size * 16
    self.since += 1
    if self.fresh_16 == 0:
        self.fresh_16 = size_16
    elif self.since == 1:
        self.fresh_16 = self.fresh_16 - self.fresh_16 // 4 + size_16 // 4
    if size_16 > self.fresh_16:
        self.regret += (size_16 - self.fresh_16) // 16
    if self.since < LEAST:
        return False
    return self.regret >= FLOOR + self.price or self.since >= MOST or not self.renewed


cdef void renewal_done(renewal_t* self, uint64_t catch_up_bytes, uint32_t in_step) noexcept nogil:
    """There is a new keyframe. Of the old one: what catching up with it took, and who needed not to."""
    cdef uint64_t price = min(catch_up_bytes // max(in_step, <uint32_t>1), <uint64_t>PRICE_MAX)
    self.price = self.price - self.price // 4 + <uint32_t>price // 4
    self.since = 0
    self.regret = 0
    self.renewed = 1


cdef class Renewal:
    """The policy of one channel, for tests and simulations."""

    def due(self, size: int) -> bool:
        """A delta took `size` bytes; whether its payload had better be the next keyframe."""
        return renewal_due(&self.raw, size)

    def done(self, catch_up_bytes: int, in_step: int) -> None:
        """There is a new keyframe; of the old: what catching up took, and who needed not to."""
        renewal_done(&self.raw, catch_up_bytes, in_step)

    @property
    def price(self) -> int:
        """Bytes that a renewal is thought to cost for each who keeps step."""
        return self.raw.price
