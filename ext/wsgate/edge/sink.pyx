"""Frames out: straight to the socket, and what the socket cuts to the transport.

Over TLS everything goes through the transport, which encrypts it: one record of at most 8 KB at a time,
and no more once it holds any of it. So it never holds more than that, or one frame if that is larger;
the rest stays in the outbox. To the core it is all the same: a frame was cut.

Owns: each slot's descriptor, from the upgrade until the transport is told to close.
Invariant: a descriptor is here only while its transport is open and holds nothing that was not sent,
or while the core knows the slot as blocked. So no byte overtakes another, and none ever goes to a
descriptor that was closed and given to somebody else: transports close it after ``connection_lost``.
Cost: one ``send`` for one frame (a message header costs the kernel more), one ``sendmsg`` for several.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.errno cimport EAGAIN, EINTR, ENOBUFS, ENOMEM, errno
from libc.string cimport memcpy, memset

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


cdef enum:
    NOWHERE = -1                    # in place of a descriptor: nothing may be sent
    THROUGH_TRANSPORT = -2          # ... TLS: only the transport may send
    WRITE_BYTES = 8192

# The most plain text that is encrypted and sent at once, but for larger frames. Half of what a TLS record
# may be (RFC 8446 5.1): each connection has a buffer of this size.
ENCRYPTED_WRITE_BYTES = WRITE_BYTES


cdef bytes _joined(const iovec* parts, uint32_t count, uint32_t* at):
    """Whole parts from `at` on, as many as go into one write, the first in any case; moves `at`."""
    cdef uint32_t first = at[0]
    cdef uint32_t end = first + 1
    cdef size_t size = parts[first].iov_len
    cdef bytes joined
    cdef char* to
    cdef uint32_t part
    while end < count and size + parts[end].iov_len <= WRITE_BYTES:
        size += parts[end].iov_len
        end += 1
    at[0] = end
    joined = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
    to = PyBytes_AS_STRING(joined)
    for part in range(first, end):
        memcpy(to, parts[part].iov_base, parts[part].iov_len)
        to += parts[part].iov_len
    return joined


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
                self.fds[at] = NOWHERE
            self.transports.extend([None] * (cap - self.cap))
            self.cap = cap
        encrypted = transport.get_extra_info("sslcontext") is not None
        self.fds[slot] = THROUGH_TRANSPORT if encrypted else fd
        self.transports[slot] = transport
        return 0

    cpdef int detach(self, uint32_t slot) except -1:
        """Nothing goes to the socket any more."""
        if slot < self.cap:
            self.fds[slot] = NOWHERE
            self.transports[slot] = None
        return 0

    cdef Py_ssize_t send(self, uint32_t slot, const iovec* parts, uint32_t count) except -2:
        cdef int fd = self.fds[slot]
        cdef msghdr message
        cdef Py_ssize_t sent
        if fd < 0:
            return SINK_BROKEN if fd == NOWHERE else self.encrypt(slot, parts, count)
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

    cdef Py_ssize_t encrypt(self, uint32_t slot, const iovec* parts, uint32_t count) except -2:
        """``send`` through a transport that does TLS."""
        cdef object transport = self.transports[slot]
        cdef Py_ssize_t sent = 0
        cdef uint32_t at = 0
        cdef bytes record
        if transport.is_closing():
            return SINK_BROKEN
        while at < count:
            record = _joined(parts, count, &at)
            transport.write_nocheck(record)
            sent += len(record)
            if transport.get_write_buffer_size():
                return sent - 1     # the last frame counts as cut, and its last byte is carried
        return sent

    cdef int carry(self, uint32_t slot, const char* data, size_t size) except -2:
        cdef object transport
        if self.fds[slot] == THROUGH_TRANSPORT:
            return 1                # it is in the transport already
        transport = self.transports[slot]
        if transport is None or transport.is_closing():
            return SINK_BROKEN
        transport.write(PyBytes_FromStringAndSize(data, size))
        # The transport tries once more before it waits. Its limits are 0, so that it calls
        # pause_writing, and later resume_writing, for a single byte.
        return 1 if transport.get_write_buffer_size() else 0
