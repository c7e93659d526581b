# The core's sink on sockets.

from libc.stdint cimport uint32_t

from wsgate.core.sink cimport Sink, iovec


cdef class SocketSink(Sink):
    cdef:
        int* fds                # owned, by slot; below 0: nothing may be sent to it
        list transports         # by slot: the transport that finishes cut frames, or does TLS
        uint32_t cap
        int watched             # readable when the event loop has something to do; -1: who knows

    cdef Py_ssize_t send(self, uint32_t slot, const iovec* parts, uint32_t count) except -2
    cdef Py_ssize_t encrypt(self, uint32_t slot, const iovec* parts, uint32_t count) except -2
    cdef int carry(self, uint32_t slot, const char* data, size_t size) except -2
    cdef bint awaited(self) except -1
    cpdef int attach(self, uint32_t slot, int fd, object transport) except -1
    cpdef int detach(self, uint32_t slot) except -1
