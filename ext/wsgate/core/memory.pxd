# Growing arrays of plain C values, counted so that a leak fails a test.

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t
from libc.stdlib cimport free, realloc

from wsgate.core.counters cimport live


cdef inline void* resize_block(void* block, size_t size) except NULL:
    """Resize `block` (NULL: a new one) to `size` > 0 bytes; on failure the old one stays whole."""
    cdef void* moved = realloc(block, size)
    if moved == NULL:
        raise MemoryError()
    if block == NULL:
        live.blocks += 1
    return moved


cdef inline void free_block(void* block) noexcept:
    """Give `block` back; NULL is allowed."""
    if block != NULL:
        live.blocks -= 1
        free(block)


cdef inline uint32_t grown(uint32_t capacity, uint32_t needed, uint32_t least) noexcept nogil:
    """The next capacity: doubled from `least` until `needed` fits."""
    if capacity < least:
        capacity = least
    while capacity < needed:
        capacity *= 2
    return capacity
