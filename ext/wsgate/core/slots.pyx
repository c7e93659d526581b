"""Slots: small dense numbers for connections, so that what is hot lies in arrays.

Owns: which slots are taken, and each slot's generation. A handle is ``generation << 32 | slot``: one
kept past its connection's end resolves to nothing instead of to the next connection in its place.
Invariant: a slot's generation is odd exactly while it is taken; handles are never 0.
Cost: O(1). The slot freed last is given first, so the arrays stay as short as the peak.
"""

from wsgate.core.memory cimport free_block, grown, resize_block


cdef class Slots:
    def __dealloc__(self):
        free_block(self.generations)
        free_block(self.free_slots)

    cdef uint64_t acquire(self) except 0:
        """Take a slot; its handle."""
        cdef uint32_t slot, cap, at
        if self.free_len:
            self.free_len -= 1
            slot = self.free_slots[self.free_len]
        else:
            slot = self.limit
            if slot == self.cap:
                cap = grown(self.cap, slot + 1, 64)
                self.generations = <uint32_t*>resize_block(
                    self.generations, cap * sizeof(uint32_t))
                self.free_slots = <uint32_t*>resize_block(self.free_slots, cap * sizeof(uint32_t))
                for at in range(self.cap, cap):
                    self.generations[at] = 0
                self.cap = cap
            self.limit += 1
        self.generations[slot] += 1
        self.count += 1
        return self.handle(slot)

    cdef int release(self, uint32_t slot) except -1:
        """Give the slot back; every handle to it is stale from now on."""
        self.generations[slot] += 1
        self.free_slots[self.free_len] = slot
        self.free_len += 1
        self.count -= 1
        return 0

    cdef uint64_t handle(self, uint32_t slot) noexcept nogil:
        return (<uint64_t>self.generations[slot] << 32) | slot

    cdef int64_t resolve(self, uint64_t handle) noexcept nogil:
        cdef uint32_t slot = <uint32_t>handle
        if slot >= self.limit or self.generations[slot] != <uint32_t>(handle >> 32):
            return -1
        return slot
