"""Admission: which sockets may try to upgrade, how many at once, how fast, and for how long.

Owns: which sockets are not upgraded yet, oldest first, and the one timer that cuts off the late.
Invariant: a protocol is in ``Handshakes`` from the moment its socket is accepted until it is upgraded
or lost; TLS and a proxy's header, where there are any, come out of the same time.
Cost: O(1) to come, to go and to be shed; a timer fires once a timeout, however many there are.

Who is to give way when there are too many? Refusing newcomers would let whoever opens sockets and says
nothing lock out everybody else for the whole timeout. So the oldest that has said nothing gives way,
then the oldest at all; and only while none has had its chance yet the newcomer is refused.
"""

import asyncio
from collections import OrderedDict

from wsgate.rates import TokenBucket

# A socket that was accepted in a rush has its request in the kernel, and we have not looked yet.
SILENT_S = 0.1
# Two round trips, for TLS, to the other side of the world. More would let whoever opens sockets fast
# enough, and begins to ask on each, fill all places with some that are not to be cut off yet.
SLOW_S = 0.25
REASONS = ("handshakes", "handshake_rate", "header_too_large", "proxy_header")


cdef class Handshakes:
    """The handshakes under way: `at_once_max` of them, `per_s` new ones a second, `timeout_s` for each."""

    def __init__(self, timeout_s: float, *, at_once_max: int, header_bytes_max: int,
                 per_s: float | None = None):
        self.loop = asyncio.get_running_loop()
        self.timeout_s = timeout_s
        self.at_once_max = at_once_max
        self.header_bytes_max = header_bytes_max
        self.rate = None if per_s is None else TokenBucket(per_s, max(1.0, per_s))
        self.waiting = OrderedDict()
        self.silent = OrderedDict()
        self.refused = dict.fromkeys(REASONS, 0)

    def __len__(self) -> int:
        return len(self.waiting)

    cdef bint admit(self) except -1:
        """Whether a socket that was just accepted may try; if not, that is counted."""
        cdef double now_s = self.loop.time()
        if self.rate is not None and not self.rate.take(now_s):
            self.refuse("handshake_rate")
            return False
        if len(self.waiting) >= self.at_once_max and not self.make_room(now_s):
            self.refuse("handshakes")
            return False
        return True

    cdef bint make_room(self, double now_s) except -1:
        """Cut off one that had its chance, if there is one."""
        for queue, patience_s in ((self.silent, SILENT_S), (self.waiting, SLOW_S)):
            protocol = next(iter(queue), None)
            if protocol is not None and now_s - <double>self.waiting[protocol] >= patience_s:
                self.shed += 1
                self.cut_off(protocol)
                return True
        return False

    cdef int enter(self, protocol) except -1:
        """The time of `protocol` begins."""
        now_s = self.loop.time()
        self.waiting[protocol] = now_s
        self.silent[protocol] = None
        if self.timer is None:
            self.timer = self.loop.call_at(now_s + self.timeout_s, self.expire)
        return 0

    cpdef begin(self, protocol, transport):
        """`transport` is what to cut `protocol` off with; it is cut off already if its time is over."""
        if protocol in self.waiting:
            protocol.beneath = transport
        else:
            transport.abort()

    cpdef heard(self, protocol):
        """The client itself has sent something."""
        self.silent.pop(protocol, None)

    cpdef bint end(self, protocol) except -1:
        """True if it was under way."""
        if self.waiting.pop(protocol, None) is None:
            return False
        self.silent.pop(protocol, None)
        protocol.beneath = None
        return True

    cpdef refuse(self, str reason):
        """Count a refusal."""
        self.refused[reason] += 1

    def expire(self):
        """Cut off who is late, and wait for the next to be so."""
        cdef list late = []
        cdef double begun_s
        # The loop counts in whole milliseconds.
        cdef double late_s = self.loop.time() + 0.001 - self.timeout_s
        self.timer = None
        for protocol, begun_s in self.waiting.items():
            if begun_s > late_s:
                self.timer = self.loop.call_at(begun_s + self.timeout_s, self.expire)
                break
            late.append(protocol)
        self.expired += len(late)
        for protocol in late:
            self.cut_off(protocol)

    def stop(self):
        """Cut off everybody."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        for protocol in list(self.waiting):
            self.cut_off(protocol)

    cdef int cut_off(self, protocol) except -1:
        transport = protocol.beneath
        self.end(protocol)
        if transport is not None:
            transport.abort()
        return 0
