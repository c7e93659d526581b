# Which keyframes one connection holds: a block of its own, for connections that speak wsgate.delta.v1.
#
#     ids:    [ 3·7  9·0  4·2  _ ]          channel·generation, in the order in which channels came
#     index:  [ _ 2 _ _ 3 1 _ _ ]           open addressing: places in `ids`, from 1; past SMALL ids
#
# Invariant: a channel stands there once, and what stands there is what the client holds, since both forget
# alike: past HOLDINGS_MAX channels the one that came first gives its place away.
# Cost: find and put O(1), up to SMALL ids a scan of two cache lines; 8 bytes a channel, 12 past SMALL.

from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    HOLDINGS_MAX = 4096         # of the protocol
    GENERATION_BITS = 28        # of a keyframe's id; above them its channel's number


cdef struct holdings_t:
    uint32_t len
    uint32_t cap
    uint32_t oldest             # at HOLDINGS_MAX: the place of who came first
    uint32_t unused
    uint64_t ids[1]             # cap of them, then 2 * cap places if cap > SMALL


# The keyframe that is held of the channel of `id`; 0: none. NULL holds nothing.
cdef uint64_t holdings_find(holdings_t* self, uint64_t id) noexcept nogil
# Make room for `count` channels more: so many puts cannot fail after it.
cdef int holdings_reserve(holdings_t** self, uint32_t count) except -1
# The client has been sent the keyframe `id`: it holds that one of its channel. There is room.
cdef void holdings_put(holdings_t* self, uint64_t id) noexcept nogil
cdef void holdings_free(holdings_t** self) noexcept


cdef class Holdings:
    cdef holdings_t* raw        # owned
