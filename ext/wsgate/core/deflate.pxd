# The compressed twin of a publication's frame, made once for all who can inflate it.

from libc.stdint cimport uint8_t, uint32_t

from wsgate.core.counters cimport Counters
from wsgate.core.frame cimport frame_t


cdef class Deflater:
    cdef:
        Counters counters
        object compress             # (payload) -> raw deflate without its sync tail
        uint32_t bytes_min

    # What goes over the wire for `plain` to a client that inflates with `window_bits`: borrowed,
    # as long-lived as `plain`.
    cdef frame_t* wire_of(self, frame_t* plain, uint8_t window_bits) except NULL
    cdef frame_t* _encode(self, frame_t* plain) except NULL
