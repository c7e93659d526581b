"""The queue-set behind the state lane: which channels' latest value is owed (see the pxd)."""

from libc.string cimport memmove, memset

from wsgate.core.memory cimport free_block, grown, resize_block

cdef enum:
    EMPTY = 0xFFFFFFFF          # no id is this


cdef inline uint32_t* _table(const idset_t* self) noexcept nogil:
    return self.ids + self.cap if self.cap > IDSET_SMALL else NULL


cdef inline uint32_t _home(uint32_t id, uint32_t mask) noexcept nogil:
    return (id * <uint32_t>2654435769) >> 7 & mask


cdef inline uint32_t _find(const uint32_t* table, uint32_t mask, uint32_t id) noexcept nogil:
    """The cell that holds `id`, or the empty one where it belongs."""
    cdef uint32_t cell = _home(id, mask)
    while table[cell] != id and table[cell] != EMPTY:
        cell = (cell + 1) & mask
    return cell


cdef void _erase(uint32_t* table, uint32_t mask, uint32_t id) noexcept nogil:
    """Remove by shifting back what follows: no tombstones, so lookups stay short for ever."""
    cdef uint32_t hole = _find(table, mask, id)
    cdef uint32_t cell = hole
    cdef uint32_t home
    if table[hole] == EMPTY:
        return
    while True:
        cell = (cell + 1) & mask
        if table[cell] == EMPTY:
            break
        home = _home(table[cell], mask)
        if ((cell - home) & mask) >= ((cell - hole) & mask):
            table[hole] = table[cell]
            hole = cell
    table[hole] = EMPTY


cdef void _fill_table(idset_t* self) noexcept nogil:
    cdef uint32_t* table = _table(self)
    cdef uint32_t mask = 2 * self.cap - 1
    cdef uint32_t position
    if table == NULL:
        return
    memset(table, 0xFF, 2 * self.cap * sizeof(uint32_t))
    for position in range(self.len):
        table[_find(table, mask, idset_at(self, position))] = idset_at(self, position)


cdef void _compact(idset_t* self) noexcept nogil:
    if self.head:
        memmove(self.ids, self.ids + self.head, self.len * sizeof(uint32_t))
        self.head = 0


cdef int _grow(idset_t* self) except -1:
    cdef uint32_t cap = grown(self.cap * 2, self.len + 1, 4)
    cdef size_t cells = cap if cap <= IDSET_SMALL else 3 * <size_t>cap
    self.ids = <uint32_t*>resize_block(self.ids, cells * sizeof(uint32_t))
    self.cap = cap
    _fill_table(self)
    return 0


cdef bint idset_contains(const idset_t* self, uint32_t id) noexcept nogil:
    cdef const uint32_t* table = _table(self)
    cdef uint32_t position
    if table != NULL:
        return table[_find(table, 2 * self.cap - 1, id)] == id
    for position in range(self.len):
        if idset_at(self, position) == id:
            return True
    return False


cdef int idset_add(idset_t* self, uint32_t id) except -1:
    cdef uint32_t* table
    cdef uint32_t cell
    if idset_contains(self, id):
        return 0
    if self.head + self.len == self.cap:
        if self.head > self.len:
            _compact(self)
        else:
            _compact(self)
            _grow(self)
    self.ids[self.head + self.len] = id
    self.len += 1
    table = _table(self)
    if table != NULL:
        cell = _find(table, 2 * self.cap - 1, id)
        table[cell] = id
    return 1


cdef bint idset_discard(idset_t* self, uint32_t id) noexcept nogil:
    cdef uint32_t* table = _table(self)
    cdef uint32_t position
    for position in range(self.len):
        if idset_at(self, position) == id:
            memmove(&self.ids[self.head + position], &self.ids[self.head + position + 1],
                    (self.len - position - 1) * sizeof(uint32_t))
            self.len -= 1
            if table != NULL:
                _erase(table, 2 * self.cap - 1, id)
            return True
    return False


cdef int idset_discard_all(idset_t* self, list ids) except -1:
    """Remove all of `ids`, which are in, in one pass: as many discards would be quadratic."""
    cdef set gone
    cdef uint32_t position, id
    cdef uint32_t kept = 0
    if len(ids) <= 1:
        for id in ids:
            idset_discard(self, id)
        return 0
    gone = set(ids)
    for position in range(self.len):
        id = idset_at(self, position)
        if id not in gone:
            self.ids[self.head + kept] = id
            kept += 1
    self.len = kept
    _fill_table(self)
    return 0


cdef void idset_take(idset_t* self, uint32_t count) noexcept nogil:
    cdef uint32_t* table = _table(self)
    cdef uint32_t position
    if table != NULL:
        if count == self.len:
            memset(table, 0xFF, 2 * self.cap * sizeof(uint32_t))
        else:
            for position in range(count):
                _erase(table, 2 * self.cap - 1, idset_at(self, position))
    self.len -= count
    self.head = 0 if self.len == 0 else self.head + count


cdef void idset_free(idset_t* self) noexcept:
    free_block(self.ids)
    self.ids = NULL
    self.head = 0
    self.len = 0
    self.cap = 0


cdef class IdSet:
    """The set as a Python object, for the tests that drive it against a model."""

    cdef idset_t raw

    def __dealloc__(self):
        idset_free(&self.raw)

    def add(self, id: int) -> bool:
        return idset_add(&self.raw, id) == 1

    def discard(self, id: int) -> bool:
        return idset_discard(&self.raw, id)

    def discard_all(self, ids: list) -> None:
        """Remove `ids`; those that are not in are skipped."""
        idset_discard_all(&self.raw, [id for id in ids if id in self])

    def take(self, count: int) -> list:
        """Remove the first `count` ids (at most all) and return them in order."""
        count = min(count, self.raw.len)
        taken = [idset_at(&self.raw, position) for position in range(count)]
        idset_take(&self.raw, count)
        return taken

    def __contains__(self, id: int) -> bool:
        return idset_contains(&self.raw, id)

    def __len__(self) -> int:
        return self.raw.len

    def __iter__(self):
        return iter([idset_at(&self.raw, position) for position in range(self.raw.len)])
