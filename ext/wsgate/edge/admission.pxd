# Which sockets may try to upgrade.

from libc.stdint cimport uint64_t


cdef class Handshakes:
    cdef:
        readonly object loop
        object timer                # None while there is nothing to wait for
        object waiting              # protocol -> begun in the loop's time, oldest first
        object silent               # those of them that sent nothing yet, oldest first
        object rate                 # a token bucket; None: no limit
        readonly double timeout_s
        readonly Py_ssize_t at_once_max
        readonly Py_ssize_t header_bytes_max
        readonly uint64_t expired
        readonly uint64_t shed
        readonly dict refused
        public uint64_t tls_failed
        public object ask           # answers a request
        public object asking        # the protocol whose request is being answered just now

    cdef bint admit(self) except -1
    cdef int enter(self, protocol) except -1
    cdef bint make_room(self, double now_s) except -1
    cpdef begin(self, protocol, transport)
    cpdef heard(self, protocol)
    cpdef bint end(self, protocol) except -1
    cpdef refuse(self, str reason)
    cdef int cut_off(self, protocol) except -1
