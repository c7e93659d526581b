"""Gathering: clients that come fast are accepted a few at a time.

Owns: which listening descriptors the event loop's epoll keeps quiet about.
Invariant: they are all quiet during a pause and all heard otherwise.
Cost: a callback for each round in which clients were accepted; a timer and four system calls a
descriptor for each pause.

A handshake is much code and little work. Where the machine does something else between two of them,
half of the time goes by waiting for memory; several in a row find the caches warm. So once all who
waited are accepted, nobody is for ``PAUSE_S``. The first of a group waits for nothing, nor does who
comes alone; in a rush, where there always is somebody, there is no pause.

The event loop's servers cannot be told to pause. But they ask the kernel which descriptors are ready,
and that can be told to keep quiet about some. Their own record of what they asked for stays as it was,
so that they neither notice nor undo this.
"""

from libc.string cimport memset
from posix.stat cimport fstat, struct_stat

cdef extern from "sys/epoll.h" nogil:
    int EPOLL_CTL_MOD
    int EPOLLIN
    ctypedef union epoll_data:
        int fd
    struct epoll_event:
        unsigned int events
        epoll_data data
    int epoll_ctl(int poll, int operation, int descriptor, epoll_event *event)

PAUSE_S = 0.002
GROUP_LEAST = 2
# Pauses in a row that gathered nobody, and how long there are none then. A client that comes again
# and again, one connection after the other, would be slowed down for nothing.
VAIN_MAX = 4
REST_S = 0.1


cdef class Gathering:
    """For descriptors of one listening socket, in a loop that polls with the epoll `poll_descriptor`.

    `pauses` counts them. OSError if there is no such descriptor.
    """

    cdef:
        object loop
        int poll
        list listening
        object next                 # the callback to look at the group, or to end the pause; None
        unsigned long long file     # what the descriptors are of
        Py_ssize_t group            # accepted since the last pause
        Py_ssize_t group_before     # ... when that was last looked at
        int vain
        double rested_at_s
        readonly unsigned long long pauses

    def __init__(self, loop, int poll_descriptor, listening):
        self.loop = loop
        self.poll = poll_descriptor
        self.listening = list(listening)
        self.file = _file(self.listening[0])
        if self.file == 0:
            raise OSError(f"descriptor {self.listening[0]} is not open")

    cpdef accepted(self):
        """One client more; to be called for each."""
        self.group += 1
        if self.next is None:
            self.next = self.loop.call_soon(self._look)

    def stop(self):
        """Pause no more. The descriptors are left as they are: they are about to be closed."""
        if self.next is not None:
            self.next.cancel()
            self.next = None

    def _look(self):
        """Pause once nobody waits: a round of the loop accepts one client for each descriptor."""
        cdef double now_s
        if self.group > self.group_before:
            self.group_before = self.group
            self.next = self.loop.call_soon(self._look)
            return
        self.vain = 0 if self.group >= <Py_ssize_t>GROUP_LEAST else self.vain + 1
        self.group = self.group_before = 0
        now_s = self.loop.time()
        if self.vain > <int>VAIN_MAX:
            self.vain = 0
            self.rested_at_s = now_s + <double>REST_S
        if now_s < self.rested_at_s:
            self.next = None
            return
        self.pauses += 1
        self.ask_for(0)
        self.next = self.loop.call_later(PAUSE_S, self._go_on)

    def _go_on(self):
        """Let those be accepted who came during the pause."""
        self.next = None
        self.ask_for(EPOLLIN)

    cdef int ask_for(self, unsigned int events) except -1:
        cdef epoll_event event
        cdef int descriptor
        memset(&event, 0, sizeof(event))
        event.events = events
        for descriptor in self.listening:
            # Out of descriptors libuv may have closed it, and a client's have its number by now.
            if _file(descriptor) == self.file:
                event.data.fd = descriptor
                epoll_ctl(self.poll, EPOLL_CTL_MOD, descriptor, &event)
        return 0


cdef unsigned long long _file(int descriptor) noexcept:
    """Which file the descriptor is of; 0 of none."""
    cdef struct_stat seen
    return 0 if fstat(descriptor, &seen) != 0 else <unsigned long long>seen.st_ino
