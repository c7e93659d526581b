# Where bytes leave the core. The edge implements it on sockets, tests on lists.

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t


cdef extern from "<sys/uio.h>" nogil:
    cdef struct iovec:
        void* iov_base
        size_t iov_len


cdef enum SinkResult:
    SINK_BROKEN = -1            # the connection is gone; its owner will hear of it


cdef class Sink:
    # Try to write `count` parts to `slot` without waiting. Returns the bytes accepted, 0 when it
    # would block, SINK_BROKEN. Must not call back into the core.
    cdef Py_ssize_t send(self, uint32_t slot, const iovec* parts, uint32_t count) except -2

    # Take over the rest of a frame that was cut and finish it before anything else is sent.
    # Returns 1 while it is held (nothing is sent until the owner calls Delivery.resume), 0 if it is
    # out already, SINK_BROKEN.
    cdef int carry(self, uint32_t slot, const char* data, size_t size) except -2

    # Whether whoever drives the core has something else to do by now: a long flush asks, and makes
    # way. Without a better answer: yes.
    cdef bint awaited(self) except -1
