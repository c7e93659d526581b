"""Frames in: one ``Connection`` for each socket that was upgraded, joined and checked messages out.

Owns: the message that is being joined from fragments, within limits.
Never: answers by itself, or lets picows send: replies, pongs and CLOSE go through the outbox. When
picows' parser meets an error it would write CLOSE at once, between or after ours, and tell nobody for
10 ms: so it is made to believe that there is no connection to write to, and ``handshake.Protocol``
looks after every read whether it tried.
Invariant: after ``failed`` or ``close_received`` no message is handed to the handler any more, and
nothing that comes is looked at (RFC 6455 7.1.7).
Cost: a read is a few calls; a PONG touches no Python code.
"""

import logging

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8, PyUnicode_DecodeUTF8Stateful
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset
from picows.picows cimport MemoryBuffer, WSFrame, WSListener, WSMsgType, WSTransport

from wsgate.edge.allowance cimport Allowance, Bucket
from wsgate.edge.drain import Drain
from wsgate.edge.inflate import BadDeflate, InflatedTooBig, inflated
from wsgate.edge.sink cimport SocketSink

cdef extern from "<linux/tcp.h>" nogil:
    struct tcp_info:
        uint64_t tcpi_bytes_acked
        uint64_t tcpi_bytes_received
    enum:
        TCP_INFO

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    int getsockopt(int fd, int level, int name, void* value, socklen_t* size)

cdef extern from "<netinet/in.h>" nogil:
    enum:
        IPPROTO_TCP

log = logging.getLogger("wsgate.edge")

CLOSE_PROTOCOL_ERROR = 1002
CLOSE_UNSUPPORTED_DATA = 1003
CLOSE_INVALID_DATA = 1007
CLOSE_TOO_BIG = 1009
CLOSE_TOO_MANY_COMMANDS = 4504  # of wsgate.v1
CLOSE_NO_STATUS = 1005          # never on the wire: the CLOSE had no code


cdef inline bint _may_be_sent(int code) noexcept:
    """Whether a peer may send CLOSE with this code (RFC 6455 7.4, and the registry since)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


# picows allocates this for each connection and we never send through it: one does for all.
cdef MemoryBuffer _unused_write_buffer = MemoryBuffer(1024)


cdef class _NoStream:
    """What picows closes 10 ms after an error, in vain: CLOSE may not be out by then."""

    def close(self):
        pass


cdef object _no_stream = _NoStream()


cdef class Connection(WSListener):
    """One upgraded socket. `handler` is told what happens, with this object as first argument:

    ``opened()``, ``received(message: bytes)`` (UTF-8), ``received_binary(message: bytes)``,
    ``pinged(payload: bytes)``, ``close_received(code: int)``, ``failed(code: int, reason: str)``,
    ``lost()``, ``paused()`` and ``resumed()``.

    `message_bytes_max` is for a message as it comes, and once more when it is inflated. `inflates`:
    permessage-deflate was agreed on, with ``client_no_context_takeover``. `takes_binary`: binary
    messages are received too; without it they fail the connection. `allowance`: how many messages and
    pings may come; a message counts when it begins, before it is inflated.
    """

    cdef:
        object handler
        SocketSink sink
        WSTransport transport       # picows'
        object stream               # the event loop's, under it
        bytearray partial           # fragments joined so far, None between messages
        uint32_t fragments
        uint32_t checked            # bytes of `partial` that are whole characters
        uint32_t message_bytes_max
        uint32_t fragments_max
        uint8_t inflates
        uint8_t takes_binary
        uint8_t binary              # of the message in `partial`
        uint8_t compressed
        uint8_t failing
        Allowance allowance
        Bucket commands
        Bucket pings
        readonly bint ended         # CLOSE received, or failed: nothing is handed on any more
        readonly uint32_t messages  # begun by the client
        # the handler's notes
        public uint64_t handle      # of the core; set in `opened`
        public uint64_t opened_ms   # when that was, by the handler's clock
        public uint8_t window_bits  # permessage-deflate as agreed: 8 to 15, 0 without
        public bint speaks_delta    # publications go out as messages of wsgate.delta.v1
        public object credential    # what came with the request to say who this is, or None
        public object session
        public str client           # its address as a proxy has it, None: it is the peer
        public str address_group    # what it counts for in a limit by address; None: there is none
        public str end_reason       # why it ends, None while it does not
        public bint heard           # anything arrived since the handler last cleared it
        public bint pinged          # ... and it was asked to answer
        public bint held_back       # not to be read, whoever else would
        public bint close_sent      # our CLOSE is out
        public bint sent_away       # told to come back elsewhere

    def __cinit__(self, handler, SocketSink sink, *, message_bytes_max: int, fragments_max: int,
                  Allowance allowance not None, inflates: bool = False, takes_binary: bool = False):
        self.handler = handler
        self.sink = sink
        self.message_bytes_max = message_bytes_max
        self.fragments_max = fragments_max
        self.inflates = inflates
        self.takes_binary = takes_binary
        self.heard = True
        self.allowance = allowance
        allowance.fill(&self.commands, &self.pings)

    # called by picows

    cpdef on_ws_connected(self, WSTransport transport):
        self.transport = transport
        self.stream = transport.underlying_transport
        transport.is_disconnected = True        # to picows only: it writes nothing from here on
        # Needed no more, and there are tens of thousands of each.
        transport.request = None
        transport.response = None
        transport._write_buffer = _unused_write_buffer
        self.handler.opened(self)
        self.sink.attach(<uint32_t>self.handle, transport._socket, self.stream)
        if self.stream.get_write_buffer_size():
            self.handler.paused(self)           # the 101 itself did not go out whole

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        self.heard = True
        if self.ended:
            return
        try:
            self._take(frame)
        except Exception:
            log.exception("a frame could not be handled")
            self._fail(1011, "internal error")

    cpdef on_ws_disconnected(self, WSTransport transport):
        self._leave()
        self.stream = None
        try:
            if self.handle:                     # 0, which is nobody's: `opened` failed
                self.handler.lost(self)
        finally:
            self.transport = None               # breaks the cycle with picows' protocol

    cpdef pause_writing(self):
        if self.transport is not None:
            self.handler.paused(self)

    cpdef resume_writing(self):
        if self.transport is not None:
            self.handler.resumed(self)

    # messages

    cdef object _take(self, WSFrame frame):
        if (frame.rsv1 | frame.rsv2 | frame.rsv3) and not self._begins_compressed(frame):
            return self._fail(CLOSE_PROTOCOL_ERROR, "reserved bit set")
        if frame.msg_type == WSMsgType.PONG:
            return None
        if frame.msg_type == WSMsgType.PING:
            if not self.allowance.ping(&self.pings):
                return self._fail(CLOSE_TOO_MANY_COMMANDS, "too many pings")
            return self.handler.pinged(
                self, PyBytes_FromStringAndSize(frame.payload_ptr, frame.payload_size))
        if frame.msg_type == WSMsgType.CLOSE:
            return self._take_close(
                frame.get_close_code() if frame.payload_size >= 2 else CLOSE_NO_STATUS)
        if frame.msg_type == WSMsgType.CONTINUATION:
            if self.partial is None:
                return self._fail(CLOSE_PROTOCOL_ERROR, "continuation of nothing")
            return self._join(frame)
        if self.partial is not None:
            return self._fail(CLOSE_PROTOCOL_ERROR, "message inside a fragmented message")
        if frame.msg_type == WSMsgType.BINARY and not self.takes_binary:
            return self._fail(CLOSE_UNSUPPORTED_DATA, "commands are text messages")
        self.messages += 1
        if not self.allowance.command(&self.commands):
            return self._fail(CLOSE_TOO_MANY_COMMANDS, "too many commands")
        if not frame.fin:
            self.partial = bytearray()
            self.fragments = 0
            self.checked = 0
            self.binary = frame.msg_type == WSMsgType.BINARY
            self.compressed = frame.rsv1
            return self._join(frame)
        return self._take_whole(
            PyBytes_FromStringAndSize(frame.payload_ptr, frame.payload_size),
            frame.msg_type == WSMsgType.BINARY, frame.rsv1)

    cdef bint _begins_compressed(self, WSFrame frame) noexcept:
        """Whether the reserved bits are RFC 7692's: the first on the first frame of a data message."""
        return (self.inflates and not frame.rsv2 and not frame.rsv3
                and (frame.msg_type == WSMsgType.TEXT or frame.msg_type == WSMsgType.BINARY))

    cdef object _take_close(self, int code):
        if code != CLOSE_NO_STATUS and not _may_be_sent(code):
            return self._fail(CLOSE_PROTOCOL_ERROR, "close code that is never sent")
        self._end()
        return self.handler.close_received(self, code)

    cdef object _join(self, WSFrame frame):
        self.fragments += 1
        if (self.fragments > self.fragments_max
                or len(self.partial) + frame.payload_size > self.message_bytes_max):
            return self._fail(CLOSE_TOO_BIG, "fragmented message too big")
        self.partial += frame.payload_ptr[:frame.payload_size]
        if not self.binary and not self.compressed and not self._is_text_so_far(frame.fin):
            return self._fail(CLOSE_INVALID_DATA, "text is not UTF-8")
        if not frame.fin:
            return None
        message = bytes(self.partial)
        self.partial = None
        if self.compressed:
            return self._take_whole(message, self.binary, True)
        return self._deliver(message, self.binary)

    cdef bint _is_text_so_far(self, bint last) except -1:
        """Whether `partial` is UTF-8, as far as can be said before the next fragment.

        The client hears at once what no further fragment can mend, and nothing is checked twice.
        """
        cdef const unsigned char* new = <unsigned char*>PyByteArray_AS_STRING(self.partial) + self.checked
        cdef Py_ssize_t size = PyByteArray_GET_SIZE(self.partial) - self.checked
        cdef Py_ssize_t whole_size = size       # CPython 3.11.2 leaves it alone if all is ASCII
        try:
            PyUnicode_DecodeUTF8Stateful(<char*>new, size, NULL, &whole_size)
        except UnicodeDecodeError:
            return False
        self.checked += <uint32_t>whole_size
        if size - whole_size == 2 and new[whole_size] == 0xED and new[whole_size + 1] >= 0xA0:
            return False                        # half a surrogate: Python waits for the other half
        return size == whole_size or not last

    cdef object _take_whole(self, bytes message, bint binary, bint compressed):
        if compressed:
            try:
                message = inflated(message, self.message_bytes_max)
            except InflatedTooBig:
                return self._fail(CLOSE_TOO_BIG, "compressed message too big")
            except BadDeflate as error:
                return self._fail(CLOSE_INVALID_DATA, f"message cannot be inflated: {error}")
        if not binary:
            try:
                PyUnicode_DecodeUTF8(message, len(message), NULL)
            except UnicodeDecodeError:
                return self._fail(CLOSE_INVALID_DATA, "text is not UTF-8")
        return self._deliver(message, binary)

    cdef object _deliver(self, bytes message, bint binary):
        if binary:
            return self.handler.received_binary(self, message)
        return self.handler.received(self, message)

    cdef object _fail(self, int code, str reason):
        self.failing = True
        self._end()
        return self.handler.failed(self, code, reason)

    cdef int _end(self) except -1:
        """From now on nothing that comes is looked at."""
        self.ended = True
        self.partial = None
        self.stream.set_protocol(Drain(self.stream.get_protocol()))
        return 0

    def parser_failed(self):
        """picows' parser met an error, and would have sent CLOSE, and closed the socket in 10 ms."""
        if not self.ended:
            unsent = self.transport.close_handshake.sent
            self._fail(unsent.code, unsent.reason)
        if self.handle:                         # else there is nobody but picows to close the socket
            self.transport.underlying_transport = _no_stream

    cdef int _leave(self) except -1:
        """Nothing comes from the socket any more, nothing goes to it."""
        self.ended = True
        if self.handle:
            self.sink.detach(<uint32_t>self.handle)
        return 0

    # for the handler

    @property
    def peer(self) -> str:
        """The client's address, for a log line: the peer's with its port, or what a proxy says."""
        if self.client is not None:
            return self.client
        if self.stream is None:
            return "-"
        name = self.stream.get_extra_info("peername")
        return f"{name[0]}:{name[1]}" if name else "-"

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes that came and bytes that the client acknowledged, as TCP counts them, TLS included.

        Known until ``lost`` has returned; a system call.
        """
        cdef tcp_info info
        cdef socklen_t size = sizeof(info)
        memset(&info, 0, sizeof(info))          # an older kernel fills in less
        if self.transport is not None:
            getsockopt(self.transport._socket, IPPROTO_TCP, TCP_INFO, &info, &size)
        return info.tcpi_bytes_received, info.tcpi_bytes_acked

    @property
    def established(self) -> bool:
        """Whether this speaks for its socket to the end."""
        return True

    def pause_reading(self) -> None:
        """Let what comes lie in the kernel; what was read already is handed on all the same."""
        if self.stream is not None and not self.stream.is_closing():
            self.stream.pause_reading()

    def resume_reading(self) -> None:
        """Unless it is held back."""
        if self.stream is not None and not self.held_back and not self.stream.is_closing():
            self.stream.resume_reading()

    def close_transport(self) -> None:
        """Close the socket once the transport has written what it holds.

        Who failed may be sending still: then only our half, and the client's end of its own, or
        ``abort``, closes the socket (see ``drain``).
        """
        self._leave()
        if self.stream is None:
            return
        if self.failing and self.stream.can_write_eof():     # TLS has no halves
            self.stream.write_eof()
        else:
            self.stream.close()

    def abort(self) -> None:
        """Close the socket now, whatever the transport holds."""
        self._leave()
        if self.stream is not None:
            self.stream.abort()
