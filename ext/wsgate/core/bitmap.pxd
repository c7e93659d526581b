# A set of slots as bits, walked in slot order.
#
# Invariant: `count` is the number of set bits; bits at or past `slots` are never set.
# Cost: set, clear and test O(1); next_set O(words skipped), one word is 64 slots.

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from wsgate.core.memory cimport free_block, resize_block


cdef extern from * nogil:
    int ctz64 "__builtin_ctzll"(uint64_t)


cdef struct bitmap_t:
    uint64_t* words     # owned
    uint32_t slots      # capacity in bits, a multiple of 64
    uint32_t count      # bits set


cdef inline int bitmap_reserve(bitmap_t* self, uint32_t slots) except -1:
    """Make room for bits below `slots`; never shrinks."""
    cdef uint32_t wanted = (slots + 63) & ~<uint32_t>63
    if wanted <= self.slots:
        return 0
    self.words = <uint64_t*>resize_block(self.words, wanted // 8)
    memset(self.words + self.slots // 64, 0, (wanted - self.slots) // 8)
    self.slots = wanted
    return 0


cdef inline void bitmap_free(bitmap_t* self) noexcept:
    free_block(self.words)
    self.words = NULL
    self.slots = 0
    self.count = 0


cdef inline void bitmap_set(bitmap_t* self, uint32_t slot) noexcept nogil:
    cdef uint64_t bit = <uint64_t>1 << (slot & 63)
    cdef uint64_t* word = &self.words[slot >> 6]
    self.count += (word[0] & bit) == 0
    word[0] |= bit


cdef inline void bitmap_clear(bitmap_t* self, uint32_t slot) noexcept nogil:
    cdef uint64_t bit = <uint64_t>1 << (slot & 63)
    cdef uint64_t* word = &self.words[slot >> 6]
    self.count -= (word[0] & bit) != 0
    word[0] &= ~bit


cdef inline bint bitmap_test(const bitmap_t* self, uint32_t slot) noexcept nogil:
    return (self.words[slot >> 6] >> (slot & 63)) & 1


cdef inline uint32_t bitmap_next(const bitmap_t* self, uint32_t slot, uint32_t end) noexcept nogil:
    """The first set bit in [slot, end), or `end`. `end` <= slots."""
    cdef uint32_t index
    cdef uint64_t word
    if slot >= end:
        return end
    index = slot >> 6
    word = self.words[index] & (~<uint64_t>0 << (slot & 63))
    while word == 0:
        index += 1
        if index << 6 >= end:
            return end
        word = self.words[index]
    slot = (index << 6) + <uint32_t>ctz64(word)
    return slot if slot < end else end
