# A set of 32-bit ids that is also a queue: the first one in is the first one out.
#
#     ids:    [ . . 7 3 9 12 5 _ _ ]      order; `head` skips what was taken
#     table:  [ 9 _ 3 12 _ 7 5 _ ... ]    open addressing, only past SMALL ids
#
# Up to SMALL ids (one cache line) a scan answers "is it in?"; past that a hash table does, kept in
# the same block behind the ids. Invariant: no id twice; with a table, table and queue hold the same.
# Cost: add O(1) amortised, take O(1) an id, discard O(length), of one or of many; 12 bytes an id.

from libc.stdint cimport uint32_t

cdef enum:
    IDSET_SMALL = 16


cdef struct idset_t:
    uint32_t* ids       # owned; cap ids, then 2 * cap table cells if cap > IDSET_SMALL
    uint32_t head
    uint32_t len
    uint32_t cap


cdef int idset_add(idset_t* self, uint32_t id) except -1       # 1: it was new
cdef bint idset_contains(const idset_t* self, uint32_t id) noexcept nogil
cdef bint idset_discard(idset_t* self, uint32_t id) noexcept nogil
cdef int idset_discard_all(idset_t* self, list ids) except -1    # all of them are in
cdef void idset_take(idset_t* self, uint32_t count) noexcept nogil     # the first `count` leave
cdef void idset_free(idset_t* self) noexcept


cdef inline uint32_t idset_at(const idset_t* self, uint32_t position) noexcept nogil:
    return self.ids[self.head + position]
