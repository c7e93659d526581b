"""permessage-deflate (RFC 7692), once for each publication: the frame's compressed twin.

Owns nothing: a twin belongs to its plain frame, and goes with it. Never: keeps state from one message
to the next, for a connection or at all; compresses replies, which are nobody else's.
Invariant: a twin is smaller than its frame; a frame that compressing does not shrink is its own twin.
Cost: one call of `compress` a publication, when the first who can inflate it is written to.

A twin may refer back as far as the message is long. To a client whose window is smaller than the
message it is not sent: an uncompressed message is always right (RFC 7692 6).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

from wsgate.core.frame cimport OP_TEXT, PLAIN, RSV1, frame_header_size, frame_new

cdef enum:
    WINDOW_BITS_MAX = 15        # as far as deflate can refer back at all


cdef class Deflater:
    """`compress`: (payload) -> raw deflate that a sync flush ends, without the tail 00 00 ff ff.

    Frames of less than `bytes_min` bytes go out as they are.
    """

    def __cinit__(self, Counters counters, compress, uint32_t bytes_min):
        self.counters = counters
        self.compress = compress
        self.bytes_min = bytes_min

    cdef frame_t* wire_of(self, frame_t* plain, uint8_t window_bits) except NULL:
        if window_bits < WINDOW_BITS_MAX and plain.size > <uint32_t>1 << window_bits:
            return plain
        if plain.deflated == NULL:
            plain.deflated = self._encode(plain)
        return plain.deflated

    cdef frame_t* _encode(self, frame_t* plain) except NULL:
        """The twin, a new reference; or `plain` itself, without one."""
        cdef uint32_t header = frame_header_size(plain)
        cdef frame_t* twin
        cdef char* out = NULL
        cdef bytes squeezed
        if plain.name_size == 0 or plain.size < self.bytes_min:
            return plain
        squeezed = self.compress(
            PyBytes_FromStringAndSize(plain.data + header, plain.size - header))
        if PyBytes_GET_SIZE(squeezed) >= plain.size - header:
            return plain
        twin = frame_new(OP_TEXT, PyBytes_GET_SIZE(squeezed), PLAIN, &out)
        twin.data[0] |= RSV1
        twin.name_size = plain.name_size
        twin.rule = plain.rule
        memcpy(out, PyBytes_AS_STRING(squeezed), PyBytes_GET_SIZE(squeezed))
        self.counters.totals.frames_deflated += 1
        self.counters.totals.frames_deflated_bytes += twin.size
        self.counters.totals.frames_deflated_saved_bytes += plain.size - twin.size
        return twin
