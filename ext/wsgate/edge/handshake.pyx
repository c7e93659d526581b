"""The handshake: from an accepted socket to a ``Connection``, by way of a proxy's header and of TLS.

Who may try, and for how long, ``admission`` says.
Never: lets picows hold anything back, log for each connection, or ask the socket for what we know.

TLS is aiofastnet's, put between uvloop's transport and the protocol. aiofastnet has a transport that
owns the socket as well, but what that one has encrypted and not sent, 16 KB or more, it neither counts
as held nor pauses for. Through uvloop's, all that is encrypted is uvloop's at once, which does both.
"""

import asyncio
import errno
import logging
from functools import partial
from http import HTTPStatus

from aiofastnet.openssl_compat import OPENSSL_DYN_LIBS
from aiofastnet.ssl_transport import SSLBufferedProtocol, SSLTransport_Transport
from cpython.buffer cimport Py_buffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memchr, memcmp
from picows.picows cimport WSTransport

from picows import picows as _picows

from wsgate.edge import refusals as _refusals
from wsgate.edge import sink as _sink
from wsgate.edge.admission cimport Handshakes
from wsgate.edge.proxied import Proxied

log = logging.getLogger("wsgate.edge")

READ_BUFFER_BYTES = 2048        # picows' least
BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
END_OF_HEAD = b"\r\n\r\n"
# With which load balancers look whether a gateway is well; of these picows takes GET and HTTP/1.1 alone.
METHODS = (b"GET", b"HEAD")
VERSIONS = (b"HTTP/1.0", b"HTTP/1.1")

# aiofastnet allocates both for each connection. What clients send is small; what the sink gives at once
# leaves in one system call.
ENCRYPTED_IN_BYTES = 2048
ENCRYPTED_OUT_BYTES = _sink.ENCRYPTED_WRITE_BYTES + 64
# The largest write is one frame. More than this lies there only if the client makes TLS itself answer
# (key updates) and does not read.
HELD_BYTES_MAX = 1024 * 1024

cdef object _WSProtocol = _picows.WSProtocol

cdef extern from "Python.h":
    Py_buffer *PyMemoryView_GET_BUFFER(object view)


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


class Protocol(_picows.WSProtocol):
    """picows' protocol, told to hide nothing and to hold nothing back."""

    __slots__ = (
        "handshakes",               # None once upgraded, or lost
        "beneath",                  # the event loop's transport, while in the handshakes
        "client",                   # (address, port) as a PROXY protocol header has it, or None
        "head_bytes",               # of the request, so far
        "turns",                    # when to look at what was read; None: who reads for us asks
    )

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
        if self.beneath is None:    # neither TLS nor a proxy's header came first
            (<Handshakes>self.handshakes).begin(self, transport)

    def buffer_updated(self, nbytes):
        turns = self.turns
        if turns is None:
            self.look(nbytes)
        elif turns.has_time():
            self.look(nbytes)
            if turns.crowded:
                turns.rest(self._who())
        else:
            turns.wait(self._who(), partial(_look_late, self, nbytes))

    def look(self, nbytes):
        """Take what was read, now."""
        cdef Handshakes handshakes = self.handshakes
        if handshakes is not None:
            self._ask(nbytes)
        else:
            _WSProtocol.buffer_updated(self, nbytes)
        listener = self.listener
        if listener is None:
            return
        if handshakes is not None:
            self._leave_handshakes()
        if self.transport.is_close_frame_sent:
            listener.parser_failed()

    def drained(self):
        """Something was read that nobody looks at any more, which costs as well."""
        turns = self.turns
        if turns is not None and (turns.crowded or not turns.has_time()):
            turns.rest(self._who())

    def connection_lost(self, exc):
        if self.turns is not None:
            self.turns.leave(self._who())
        if self.handshakes is not None:
            self._leave_handshakes()
        _WSProtocol.connection_lost(self, exc)

    def _who(self):
        """Who waits if this has to: one for each socket, so that his reads and commands keep order."""
        return self if self.listener is None else self.listener

    @property
    def established(self):
        return False

    def pause_reading(self):
        _pause(self.transport.underlying_transport)

    def resume_reading(self):
        _resume(self.transport.underlying_transport)

    def abort(self):
        self.transport.underlying_transport.abort()

    def peername(self):
        """(address, port, ...) of the client, or of the last proxy before it; None: who knows."""
        return self.client or self.transport.underlying_transport.get_extra_info("peername")

    def _leave_handshakes(self):
        (<Handshakes>self.handshakes).end(self)
        self.handshakes = None

    def _ask(self, nbytes):
        """picows reads the request, and answers it once it is whole."""
        cdef Handshakes handshakes = self.handshakes
        if not self._may_ask(nbytes):
            return
        handshakes.asking = self
        try:
            if not self._asks_otherwise(nbytes):
                _WSProtocol.buffer_updated(self, nbytes)
        except UnicodeEncodeError:      # of picows, which quotes what was wrong: it was not UTF-8
            transport = self.transport.underlying_transport
            transport.write(BAD_REQUEST)
            transport.close()
        finally:
            handshakes.asking = None

    def _may_ask(self, Py_ssize_t nbytes):
        """Whether the head of the request, now so much longer, is within its bound; else it is refused."""
        cdef Handshakes handshakes = self.handshakes
        cdef Py_ssize_t before = self.head_bytes
        self.head_bytes = before + nbytes
        if before == 0:
            handshakes.heard(self)
        if before + nbytes < handshakes.header_bytes_max or self._ends_in_time(before, nbytes):
            return True
        handshakes.refuse("header_too_large")
        _refusals.answer(self.transport.underlying_transport, _refusals.HEADER_TOO_LARGE)
        return False

    def _ends_in_time(self, Py_ssize_t before, Py_ssize_t nbytes):
        """Whether the head ends within what it may have; there is no end in the first `before` bytes."""
        # picows has not counted the new bytes yet: this is where they begin, behind the others.
        cdef unsigned char[::1] buffer = _WSProtocol.get_buffer(self, -1)
        cdef Py_ssize_t overlap = min(before, len(END_OF_HEAD) - 1)
        cdef bytes seen = PyBytes_FromStringAndSize(<char*>&buffer[0] - overlap, nbytes + overlap)
        cdef Py_ssize_t last = (<Handshakes>self.handshakes).header_bytes_max - (before - overlap)
        return seen.find(END_OF_HEAD, 0, max(0, last)) >= 0

    def _asks_otherwise(self, Py_ssize_t nbytes):
        """Whether it is a whole request with HEAD or of HTTP/1.0: it is answered, as picows would not."""
        cdef Py_ssize_t size = self.head_bytes
        cdef const char* head
        if size > nbytes and (<WSTransport>self.transport).request is not None:
            return False            # picows has read a request, and begun its buffer anew
        # picows has not counted the new bytes yet: this is where they begin, behind the others.
        view = _WSProtocol.get_buffer(self, -1)
        head = <const char*>PyMemoryView_GET_BUFFER(view).buf - (size - nbytes)
        return _begins_otherwise(head, size) and self._answer_otherwise(PyBytes_FromStringAndSize(head, size))

    def _answer_otherwise(self, bytes read):
        """Answer as to a GET of HTTP/1.1, unless that would be upgraded, or it is malformed, or goes on."""
        head, end, _ = read.partition(END_OF_HEAD)
        line = head.partition(b"\r\n")[0]
        words = line.split(b" ")
        if not end or len(words) != 3 or words[0] not in METHODS or words[2] not in VERSIONS:
            return False
        try:
            request = _picows._parse_http_request(b"GET %b HTTP/1.1%b" % (words[1], head[len(line):]))
        except RuntimeError:
            return False
        request.method, _, request.version = words
        request.headers.popall("Upgrade", None)     # of HTTP/1.0 it must be ignored (RFC 9110 7.8)
        response = (<Handshakes>self.handshakes).ask(request).response
        if response.status == HTTPStatus.SWITCHING_PROTOCOLS:
            return False
        response.headers["Connection"] = "close"
        answer = bytes(response.to_bytes())
        if request.method == b"HEAD":
            answer = answer[:answer.index(END_OF_HEAD) + len(END_OF_HEAD)]
        _refusals.answer(self.transport.underlying_transport, answer)
        return True


cdef bint _begins_otherwise(const char* head, Py_ssize_t size) noexcept:
    """Whether the first line is there, and has HEAD or HTTP/1.0."""
    cdef const char* end = <const char*>memchr(head, b"\r", size)
    if end == NULL or end - head < 9:
        return False
    return memcmp(head, b"HEAD ", 5) == 0 or memcmp(end - 9, b" HTTP/1.0", 9) == 0


def _look_late(protocol, Py_ssize_t nbytes):
    """As `buffer_updated`, of which the event loop sees to what it raises."""
    try:
        protocol.look(nbytes)
    except Exception:
        log.exception("what a client sent could not be looked at")
        protocol.abort()


cdef _pause(transport):
    if transport is not None and not transport.is_closing():
        transport.pause_reading()


cdef _resume(transport):
    if transport is not None and not transport.is_closing():
        transport.resume_reading()


class EncryptedTransport(SSLTransport_Transport):
    """aiofastnet's TLS transport, which closes as a plain one does: what it holds first, no waiting."""

    __slots__ = (
        "beneath",                  # uvloop's transport; None once it is lost
        "paused",                   # the connection does not want to be read
    )

    def pause_reading(self):
        self.paused = True
        SSLTransport_Transport.pause_reading(self)

    def resume_reading(self):
        # aiofastnet hands on in the loop's next round what it has decrypted, or not yet, and reads on
        # at once: into a buffer that may be full, which ends the connection.
        self.paused = False
        SSLTransport_Transport.resume_reading(self)
        _pause(self.beneath)
        asyncio.get_running_loop().call_soon(self._read_on)

    def _read_on(self):
        if not self.paused:
            _resume(self.beneath)

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

    __slots__ = ("handshakes", "protocol", "silent", "transport", "turns")

    def connection_made(self, transport):
        self.transport.beneath = transport
        self.transport.paused = False
        if self.protocol.beneath is None:       # no proxy's header came first
            (<Handshakes>self.handshakes).begin(self.protocol, transport)
        SSLBufferedProtocol.connection_made(self, transport)

    def buffer_updated(self, nbytes):
        if self.turns.has_time():
            self.look(nbytes)
            if self.turns.crowded:
                self.turns.rest(self._who())
        else:
            self.turns.wait(self._who(), partial(_look_late, self, nbytes))

    def look(self, nbytes):
        """Take what was read, now."""
        if self.silent:
            self.silent = False
            (<Handshakes>self.handshakes).heard(self.protocol)
        SSLBufferedProtocol.buffer_updated(self, nbytes)
        beneath = self.transport.beneath
        if beneath is not None and beneath.get_write_buffer_size() > HELD_BYTES_MAX:
            beneath.abort()

    def eof_received(self):
        # In the middle of a handshake aiofastnet would report it as an error of ours.
        if self.protocol.transport is not None:
            SSLBufferedProtocol.eof_received(self)

    def _who(self):
        return self if self.protocol.listener is None else self.protocol.listener

    @property
    def established(self):
        return False

    def pause_reading(self):
        _pause(self.transport.beneath)

    def resume_reading(self):
        _resume(self.transport.beneath)

    def abort(self):
        if self.transport.beneath is not None:
            self.transport.beneath.abort()

    def connection_lost(self, exc):
        cdef Handshakes handshakes = self.handshakes
        self.turns.leave(self._who())
        if self.protocol.transport is None and handshakes.end(self.protocol):
            handshakes.tls_failed += 1
            log.debug("no TLS handshake: %s", exc)
        self.transport.beneath = None
        SSLBufferedProtocol.connection_lost(self, exc)


def protocol_factory(listener_factory, handshakes: Handshakes, turns, *, message_bytes_max: int,
                     tls=None, proxies=None):
    """A factory of server protocols for accepted sockets. `turns` says when what they read is looked at.

    `listener_factory(request, protocol)` returns a ``Connection``, or a picows response to refuse with;
    `protocol.peername()` and `protocol.client` say who asks. `tls.context`, if there is one, is the
    ``ssl.SSLContext`` of handshakes that begin now; OSError if this Python's OpenSSL is out of reach for
    that. `proxies` are the networks whose peers have to begin with a PROXY protocol header.
    """
    def ask(request):
        return listener_factory(request, handshakes.asking)

    handshakes.ask = ask

    def make():
        protocol = Protocol(
            None, None, False,                          # host, path, is_client_side
            ask, _quiet_log,
            True, None,                                 # disconnect_on_exception, its own timeout
            False, 0, 0, _picows.WSAutoPingStrategy.PING_WHEN_IDLE,
            False,                                      # auto-pong: pongs go through the outbox
            message_bytes_max, None, READ_BUFFER_BYTES,
        )
        protocol.handshakes = handshakes
        protocol.beneath = protocol.client = None
        protocol.head_bytes = 0
        protocol.turns = turns if tls is None else None
        handshakes.enter(protocol)
        return protocol

    def encrypt(protocol):
        transport = EncryptedTransport(
            handshakes.loop, protocol, tls.context, True,
            # Its own timeouts are never reached: ours come first, and closing waits for nobody.
            2 * handshakes.timeout_s, handshakes.timeout_s,
            ENCRYPTED_IN_BYTES, ENCRYPTED_OUT_BYTES,
        )
        encrypted = Encrypted(transport)
        encrypted.handshakes = handshakes
        encrypted.protocol = protocol
        encrypted.silent = True
        encrypted.transport = transport
        encrypted.turns = turns
        return encrypted

    # Over TLS nothing can be said before the handshake, which is what costs.
    busy = _refusals.Busy(b"" if tls is not None else _refusals.BUSY)

    def make_admitted():
        if not handshakes.admit():
            return busy
        protocol = make()
        outer = protocol if tls is None else encrypt(protocol)
        return outer if proxies is None else Proxied(outer, protocol, handshakes, turns, proxies)

    if tls is not None and OPENSSL_DYN_LIBS is None:
        raise OSError(
            errno.ENOTSUP,
            "WS_TLS_CERT: TLS needs a Python that loads OpenSSL as a shared library, and this one has it "
            "built in (as uv's own have); use a distribution's Python, or terminate TLS before the gateway")
    return make_admitted
