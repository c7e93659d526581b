"""The keyframes that a connection holds, as the gateway remembers them (see the pxd)."""

from libc.stdint cimport uint16_t
from libc.string cimport memset

from wsgate.core.memory cimport free_block, resize_block

cdef enum:
    LEAST = 6                   # with the header a cache line
    SMALL = 14                  # with the header two


cdef inline uint16_t* _index(holdings_t* self) noexcept nogil:
    return <uint16_t*>(<uint64_t*>self.ids + self.cap) if self.cap > SMALL else NULL


cdef inline uint32_t _cell(holdings_t* self, const uint16_t* index, uint64_t number) noexcept nogil:
    """The cell of the channel, or the empty one where it belongs."""
    cdef uint64_t* ids = self.ids
    cdef uint32_t mask = 2 * self.cap - 1
    cdef uint32_t cell = (<uint32_t>number * <uint32_t>2654435769) >> 7 & mask
    while index[cell] and ids[index[cell] - 1] >> GENERATION_BITS != number:
        cell = (cell + 1) & mask
    return cell


cdef inline uint32_t _place(holdings_t* self, uint64_t number) noexcept nogil:
    """Where the channel stands; `len` if it does not."""
    cdef uint64_t* ids = self.ids
    cdef const uint16_t* index = _index(self)
    cdef uint32_t place
    if index == NULL:
        for place in range(self.len):
            if ids[place] >> GENERATION_BITS == number:
                return place
        return self.len
    place = index[_cell(self, index, number)]
    return place - 1 if place else self.len


cdef uint64_t holdings_find(holdings_t* self, uint64_t id) noexcept nogil:
    cdef uint64_t* ids
    cdef uint32_t place
    if self == NULL:
        return 0
    ids = self.ids
    place = _place(self, id >> GENERATION_BITS)
    return ids[place] if place < self.len else 0


cdef void _fill_index(holdings_t* self) noexcept nogil:
    cdef uint64_t* ids = self.ids
    cdef uint16_t* index = _index(self)
    cdef uint32_t place
    if index == NULL:
        return
    memset(index, 0, 2 * self.cap * sizeof(uint16_t))
    for place in range(self.len):
        index[_cell(self, index, ids[place] >> GENERATION_BITS)] = <uint16_t>(place + 1)


cdef void _erase(holdings_t* self, uint64_t number) noexcept nogil:
    """Remove from the index by shifting back what follows: lookups stay short for ever."""
    cdef uint64_t* ids = self.ids
    cdef uint16_t* index = _index(self)
    cdef uint32_t mask = 2 * self.cap - 1
    cdef uint32_t hole = _cell(self, index, number)
    cdef uint32_t cell = hole
    cdef uint32_t home
    while True:
        cell = (cell + 1) & mask
        if index[cell] == 0:
            break
        home = (<uint32_t>(ids[index[cell] - 1] >> GENERATION_BITS) * <uint32_t>2654435769) >> 7 & mask
        if ((cell - home) & mask) >= ((cell - hole) & mask):
            index[hole] = index[cell]
            hole = cell
    index[hole] = 0


cdef int _grow(holdings_t** self) except -1:
    cdef bint new = self[0] == NULL
    cdef uint32_t cap = LEAST if new else SMALL if self[0].cap < SMALL else 2 * self[0].cap
    cdef size_t size
    cap = 32 if SMALL < cap < 32 else min(cap, <uint32_t>HOLDINGS_MAX)
    size = sizeof(holdings_t) + (cap - 1) * sizeof(uint64_t)
    if cap > SMALL:
        size += 2 * cap * sizeof(uint16_t)
    self[0] = <holdings_t*>resize_block(self[0], size)
    if new:
        memset(self[0], 0, sizeof(holdings_t))
    self[0].cap = cap
    _fill_index(self[0])
    return 0


cdef int holdings_reserve(holdings_t** self, uint32_t count) except -1:
    while self[0] == NULL or (self[0].len + count > self[0].cap and self[0].cap < HOLDINGS_MAX):
        _grow(self)
    return 0


cdef void holdings_put(holdings_t* self, uint64_t id) noexcept nogil:
    cdef uint64_t* ids = self.ids
    cdef uint64_t number = id >> GENERATION_BITS
    cdef uint32_t place = _place(self, number)
    cdef bint new = place == self.len
    if new and self.len < HOLDINGS_MAX:
        self.len += 1
    elif new:
        place = self.oldest
        _erase(self, ids[place] >> GENERATION_BITS)
        self.oldest = (place + 1) % HOLDINGS_MAX
    ids[place] = id
    if new and _index(self) != NULL:
        _index(self)[_cell(self, _index(self), number)] = <uint16_t>(place + 1)


cdef void holdings_free(holdings_t** self) noexcept:
    free_block(self[0])
    self[0] = NULL


cdef class Holdings:
    """What one connection holds, for code that is not on the hot path."""

    def __dealloc__(self):
        holdings_free(&self.raw)

    def find(self, number: int, /) -> int | None:
        """The generation that is held of the channel with this number."""
        cdef uint64_t found = holdings_find(self.raw, <uint64_t>number << GENERATION_BITS)
        return found & ((<uint64_t>1 << GENERATION_BITS) - 1) if found else None

    def put(self, number: int, generation: int) -> None:
        """This keyframe has been sent."""
        holdings_reserve(&self.raw, 1)
        holdings_put(self.raw, <uint64_t>number << GENERATION_BITS | <uint64_t>generation)

    def __len__(self) -> int:
        return self.raw.len if self.raw != NULL else 0
