"""The handshake: from an accepted socket to a ``Connection``, in bounded time.

Owns: which sockets are not upgraded yet, oldest first, and the one timer that cuts off the late.
Never: lets picows hold anything back, log for each connection, or ask the socket for what we know.
Invariant: a protocol is in ``Handshakes`` from ``connection_made`` until it is upgraded or lost.
Cost: O(1) to come and to go; a timer fires once a timeout, however many handshakes there are.
"""

import asyncio
import logging

from libc.stdint cimport uint64_t
from picows.picows cimport WSTransport

from picows import picows as _picows

log = logging.getLogger("wsgate.edge")

READ_BUFFER_BYTES = 2048        # picows' least
BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

cdef object _WSProtocol = _picows.WSProtocol


class QuietLog:
    """What picows takes for a logger. Its lines are per connection: clients could flood the log.

    Not a ``logging.Logger``: of those picows makes a child for every connection. What it reports is
    seen and counted by the connection; only the unexpected is passed on.
    """

    __slots__ = ()

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 (logging's name)
        return False

    def log(self, level: int, message: str, *args: object) -> None:
        pass

    def debug(self, message: str, *args: object) -> None:
        pass

    info = warning = error = debug

    def exception(self, message: str, *args: object) -> None:
        log.exception(message, *args)


cdef object _quiet_log = QuietLog()


cdef class _SilentSocket:
    """Stands for the socket while picows prepares a connection.

    picows sets options and asks for ten more things, to log them: as many system calls. What it sets
    the socket has from the one that listens, and what it asks for is not logged.
    """

    cdef int fd
    # picows keeps these of a transport, to send with: it never does.
    cdef readonly object write
    cdef readonly object get_write_buffer_size

    def fileno(self):
        return self.fd

    def setsockopt(self, *args):
        pass

    def getsockopt(self, *args):
        return 0

    def get_extra_info(self, name, default=None):
        return self if name == "socket" else default


cdef class Handshakes:
    """The handshakes under way. A client that needs longer than `timeout_s` is cut off."""

    cdef:
        object loop
        object timer                # None while there is nothing to wait for
        dict due_s                  # protocol -> the loop's time, oldest first
        readonly double timeout_s
        readonly uint64_t expired

    def __init__(self, timeout_s: float):
        self.loop = asyncio.get_running_loop()
        self.timeout_s = timeout_s
        self.due_s = {}

    def __len__(self) -> int:
        return len(self.due_s)

    cdef int begin(self, protocol) except -1:
        due_s = self.loop.time() + self.timeout_s
        self.due_s[protocol] = due_s
        if self.timer is None:
            self.timer = self.loop.call_at(due_s, self.expire)
        return 0

    cdef int end(self, protocol) except -1:
        self.due_s.pop(protocol, None)
        return 0

    def expire(self):
        """Cut off who is late, and wait for the next to be so."""
        cdef list late = []
        cdef double now_s = self.loop.time() + 0.001        # the loop counts in whole milliseconds
        cdef double due_s
        self.timer = None
        for protocol, due_s in self.due_s.items():
            if due_s > now_s:
                self.timer = self.loop.call_at(due_s, self.expire)
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
        for protocol in list(self.due_s):
            self.cut_off(protocol)

    cdef int cut_off(self, protocol) except -1:
        self.end(protocol)
        protocol.transport.underlying_transport.abort()
        return 0


class Protocol(_picows.WSProtocol):
    """picows' protocol, told to hide nothing and to hold nothing back."""

    __slots__ = ("handshakes",)     # None once upgraded, or lost

    def connection_made(self, transport):
        cdef _SilentSocket silent = _SilentSocket.__new__(_SilentSocket)
        cdef WSTransport ws
        silent.fd = transport.get_extra_info("socket").fileno()
        # Before the 101 is written: with uvloop's own limits a short tail would trigger neither
        # pause_writing nor resume_writing.
        transport.set_write_buffer_limits(high=0)
        _WSProtocol.connection_made(self, silent)
        ws = self.transport
        ws.underlying_transport = transport
        (<Handshakes>self.handshakes).begin(self)

    def buffer_updated(self, nbytes):
        try:
            _WSProtocol.buffer_updated(self, nbytes)
        except UnicodeEncodeError:      # of picows, which quotes what was wrong: it was not UTF-8
            transport = self.transport.underlying_transport
            transport.write(BAD_REQUEST)
            transport.close()
            return
        listener = self.listener
        if listener is None:
            return
        if self.handshakes is not None:
            self._leave_handshakes()
        if self.transport.is_close_frame_sent:
            listener.parser_failed()

    def connection_lost(self, exc):
        if self.handshakes is not None:
            self._leave_handshakes()
        _WSProtocol.connection_lost(self, exc)

    def _leave_handshakes(self):
        (<Handshakes>self.handshakes).end(self)
        self.handshakes = None


def protocol_factory(listener_factory, handshakes: Handshakes, *, message_bytes_max: int):
    """A factory of server protocols for accepted sockets.

    `listener_factory(request)` returns a ``Connection``, or a picows response to refuse with.
    """
    def make():
        protocol = Protocol(
            None, None, False,                          # host, path, is_client_side
            listener_factory, _quiet_log,
            True, None,                                 # disconnect_on_exception, its own timeout
            False, 0, 0, _picows.WSAutoPingStrategy.PING_WHEN_IDLE,
            False,                                      # auto-pong: pongs go through the outbox
            message_bytes_max, None, READ_BUFFER_BYTES,
        )
        protocol.handshakes = handshakes
        return protocol
    return make
