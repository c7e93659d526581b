"""The handshake: from an accepted socket to a ``Connection``, in bounded time.

Owns: which sockets are not upgraded yet, oldest first, and the one timer that cuts off the late.
Never: lets picows hold anything back, log for each connection, or ask the socket for what we know.
Invariant: a protocol is in ``Handshakes`` from the moment its socket is accepted until it is upgraded
or lost: TLS, where there is any, comes out of the same time.
Cost: O(1) to come and to go; a timer fires once a timeout, however many handshakes there are.

TLS is aiofastnet's, put between uvloop's transport and the protocol. aiofastnet has a transport that
owns the socket as well, but what that one has encrypted and not sent, 16 KB or more, it neither counts
as held nor pauses for. Through uvloop's, all that is encrypted is uvloop's at once, which does both.
"""

import asyncio
import errno
import logging

from aiofastnet.openssl_compat import OPENSSL_DYN_LIBS
from aiofastnet.ssl_transport import SSLBufferedProtocol, SSLTransport_Transport
from libc.stdint cimport uint64_t
from picows.picows cimport WSTransport

from picows import picows as _picows

from wsgate.edge import sink as _sink

log = logging.getLogger("wsgate.edge")

READ_BUFFER_BYTES = 2048        # picows' least
BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

# aiofastnet allocates both for each connection. What clients send is small; what the sink gives at once
# leaves in one system call.
ENCRYPTED_IN_BYTES = 2048
ENCRYPTED_OUT_BYTES = _sink.ENCRYPTED_WRITE_BYTES + 64
# The largest write is one frame. More than this lies there only if the client makes TLS itself answer
# (key updates) and does not read.
HELD_BYTES_MAX = 1024 * 1024

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
        dict waiting                # protocol -> (due in the loop's time, transport), oldest first
        readonly double timeout_s
        readonly uint64_t expired
        readonly uint64_t tls_failed

    def __init__(self, timeout_s: float):
        self.loop = asyncio.get_running_loop()
        self.timeout_s = timeout_s
        self.waiting = {}

    def __len__(self) -> int:
        return len(self.waiting)

    cdef int begin(self, protocol, transport) except -1:
        """Count the time of `protocol`, unless it is counted already."""
        if protocol in self.waiting:
            return 0
        due_s = self.loop.time() + self.timeout_s
        self.waiting[protocol] = (due_s, transport)
        if self.timer is None:
            self.timer = self.loop.call_at(due_s, self.expire)
        return 0

    cdef bint end(self, protocol) except -1:
        """True if it was under way."""
        return self.waiting.pop(protocol, None) is not None

    def expire(self):
        """Cut off who is late, and wait for the next to be so."""
        cdef list late = []
        cdef double now_s = self.loop.time() + 0.001        # the loop counts in whole milliseconds
        cdef double due_s
        self.timer = None
        for protocol, (due_s, _) in self.waiting.items():
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
        for protocol in list(self.waiting):
            self.cut_off(protocol)

    cdef int cut_off(self, protocol) except -1:
        _, transport = self.waiting.pop(protocol)
        transport.abort()
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
        (<Handshakes>self.handshakes).begin(self, transport)

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


class EncryptedTransport(SSLTransport_Transport):
    """aiofastnet's TLS transport, which closes as a plain one does: what it holds first, no waiting."""

    __slots__ = ("beneath",)        # uvloop's transport; None once it is lost

    def close(self):
        # picows closes after an error by a timer, which may be due before our CLOSE is flushed.
        asyncio.get_running_loop().call_soon(self._close)

    def _close(self):
        # Says close_notify, and would wait for the client's, which tells us nothing new.
        SSLTransport_Transport.close(self)
        if self.beneath is not None:
            self.beneath.close()


class Encrypted(SSLBufferedProtocol):
    """What uvloop's transport talks to: TLS, until the handshake is done in the name of `protocol`."""

    __slots__ = ("handshakes", "protocol", "transport")

    def connection_made(self, transport):
        self.transport.beneath = transport
        (<Handshakes>self.handshakes).begin(self.protocol, transport)
        SSLBufferedProtocol.connection_made(self, transport)

    def buffer_updated(self, nbytes):
        SSLBufferedProtocol.buffer_updated(self, nbytes)
        beneath = self.transport.beneath
        if beneath is not None and beneath.get_write_buffer_size() > HELD_BYTES_MAX:
            beneath.abort()

    def eof_received(self):
        # In the middle of a handshake aiofastnet would report it as an error of ours.
        if self.protocol.transport is not None:
            SSLBufferedProtocol.eof_received(self)

    def connection_lost(self, exc):
        cdef Handshakes handshakes = self.handshakes
        if self.protocol.transport is None and handshakes.end(self.protocol):
            handshakes.tls_failed += 1
            log.debug("no TLS handshake: %s", exc)
        self.transport.beneath = None
        SSLBufferedProtocol.connection_lost(self, exc)


def protocol_factory(listener_factory, handshakes: Handshakes, *, message_bytes_max: int, tls=None):
    """A factory of server protocols for accepted sockets.

    `listener_factory(request)` returns a ``Connection``, or a picows response to refuse with.
    `tls.context`, if there is one, is the ``ssl.SSLContext`` of handshakes that begin now; OSError if
    this Python's OpenSSL is out of reach for that.
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

    def make_encrypted():
        protocol = make()
        transport = EncryptedTransport(
            loop, protocol, tls.context, True,
            # Its own timeouts are never reached: ours come first, and closing waits for nobody.
            2 * handshakes.timeout_s, handshakes.timeout_s,
            ENCRYPTED_IN_BYTES, ENCRYPTED_OUT_BYTES,
        )
        encrypted = Encrypted(transport)
        encrypted.handshakes = handshakes
        encrypted.protocol = protocol
        encrypted.transport = transport
        return encrypted

    if tls is None:
        return make
    if OPENSSL_DYN_LIBS is None:
        raise OSError(
            errno.ENOTSUP,
            "WS_TLS_CERT: TLS needs a Python that loads OpenSSL as a shared library, and this one has it "
            "built in (as uv's own have); use a distribution's Python, or terminate TLS before the gateway")
    loop = handshakes.loop
    return make_encrypted
