# Numbers as wsgate.delta.v1 writes them: seven bits a byte, the least significant first.

from libc.stdint cimport int64_t, uint64_t

cdef enum:
    VARINT_BYTES_MAX = 10       # of 64 bits


cdef inline char* varint_put(char* out, uint64_t value) noexcept nogil:
    """Write `value`; where it ends."""
    while value >= 0x80:
        out[0] = <char>(value & 0x7F | 0x80)
        out += 1
        value >>= 7
    out[0] = <char>value
    return out + 1


cdef inline uint64_t zigzag(int64_t value) noexcept nogil:
    """0, -1, 1, -2, 2 are 0, 1, 2, 3, 4."""
    return (<uint64_t>value << 1) ^ <uint64_t>(value >> 63)
