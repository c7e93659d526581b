"""Frames out: straight to the socket, and what the socket cuts to the transport.

Owns: each slot's descriptor, from the upgrade until the transport is told to close.
Invariant: a descriptor is here only while its transport is open and holds nothing that was not sent,
or while the core knows the slot as blocked. So no byte overtakes another, and none ever goes to a
descriptor that was closed and given to somebody else: transports close it after ``connection_lost``.
Cost: one ``send`` for one frame (a message header costs the kernel more), one ``sendmsg`` for several.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport EAGAIN, EINTR, ENOBUFS, ENOMEM, errno
from libc.string cimport memset

from wsgate.core.memory cimport free_block, grown, resize_block
from wsgate.core.sink cimport SINK_BROKEN


cdef extern from "<sys/socket.h>" nogil:
    struct msghdr:
        iovec* msg_iov
        size_t msg_iovlen
    enum:
        MSG_DONTWAIT
        MSG_NOSIGNAL
    Py_ssize_t c_send "send"(int fd, const void* data, size_t size, int flags)
    Py_ssize_t c_sendmsg "sendmsg"(int fd, const msghdr* message, int flags)

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    enum:
        POLLIN
    int c_poll "poll"(pollfd* fds, unsigned long count, int timeout_ms)


cdef class SocketSink(Sink):
    """Where every slot's bytes go."""

    def __cinit__(self):
        self.transports = []
        self.watched = -1

    def __dealloc__(self):
        free_block(self.fds)

    def watch(self, fd: int) -> None:
        """`fd` is readable whenever the event loop has something to do: a poll descriptor is."""
        self.watched = fd

    cdef bint awaited(self) except -1:
        cdef pollfd loop
        if self.watched < 0:
            return True
        loop.fd = self.watched
        loop.events = POLLIN
        return c_poll(&loop, 1, 0) != 0

    cpdef int attach(self, uint32_t slot, int fd, object transport) except -1:
        """From now on `slot` is this socket; `transport` owns it."""
        cdef uint32_t cap, at
        if slot >= self.cap:
            cap = grown(self.cap, slot + 1, 64)
            self.fds = <int*>resize_block(self.fds, cap * sizeof(int))
            for at in range(self.cap, cap):
                self.fds[at] = -1
            self.transports.extend([None] * (cap - self.cap))
            self.cap = cap
        self.fds[slot] = fd
        self.transports[slot] = transport
        return 0

    cpdef int detach(self, uint32_t slot) except -1:
        """Nothing goes to the socket any more."""
        if slot < self.cap:
            self.fds[slot] = -1
            self.transports[slot] = None
        return 0

    cdef Py_ssize_t send(self, uint32_t slot, const iovec* parts, uint32_t count) except -2:
        cdef int fd = self.fds[slot]
        cdef msghdr message
        cdef Py_ssize_t sent
        if fd < 0:
            return SINK_BROKEN
        if count == 1:
            sent = c_send(fd, parts.iov_base, parts.iov_len, MSG_DONTWAIT | MSG_NOSIGNAL)
        else:
            memset(&message, 0, sizeof(msghdr))
            message.msg_iov = <iovec*>parts
            message.msg_iovlen = count
            sent = c_sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL)
        if sent >= 0:
            return sent
        # No memory in the kernel is a full buffer too: the transport will wait for room.
        if errno in (EAGAIN, EINTR, ENOBUFS, ENOMEM):
            return 0
        return SINK_BROKEN

    cdef int carry(self, uint32_t slot, const char* data, size_t size) except -2:
        cdef object transport = self.transports[slot]
        if transport is None or transport.is_closing():
            return SINK_BROKEN
        transport.write(PyBytes_FromStringAndSize(data, size))
        # The transport tries once more before it waits. Its limits are 0, so that it calls
        # pause_writing, and later resume_writing, for a single byte.
        return 1 if transport.get_write_buffer_size() else 0
