"""Frames in: one ``Connection`` for each socket that was upgraded, joined and checked messages out.

Owns: the message that is being joined from fragments, within limits.
Never: answers by itself, or lets picows send: replies, pongs and CLOSE go through the outbox. When
picows' parser meets an error it would write CLOSE at once, between or after ours, and tell nobody for
10 ms: so it is made to believe that there is no connection to write to, and ``handshake.Protocol``
looks after every read whether it tried.
Invariant: after ``failed`` or ``close_received`` no message is handed to the handler any more, and
neither comes twice: each gives the closing handshake its time, which nobody may have again and again.
Cost: a read is a few calls; a PONG touches no Python code.
"""

import logging

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint32_t, uint64_t
from picows.picows cimport MemoryBuffer, WSFrame, WSListener, WSMsgType, WSTransport

from wsgate.edge.sink cimport SocketSink

log = logging.getLogger("wsgate.edge")

CLOSE_PROTOCOL_ERROR = 1002
CLOSE_UNSUPPORTED_DATA = 1003
CLOSE_INVALID_TEXT = 1007
CLOSE_TOO_BIG = 1009
CLOSE_NO_STATUS = 1005          # never on the wire: the CLOSE had no code


cdef inline bint _may_be_sent(int code) noexcept:
    """Whether a peer may send CLOSE with this code (RFC 6455 7.4, and the registry since)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


# picows allocates this for each connection and we never send through it: one does for all.
cdef MemoryBuffer _unused_write_buffer = MemoryBuffer(1024)


cdef class Connection(WSListener):
    """One upgraded socket. `handler` is told what happens, with this object as first argument:

    ``opened()``, ``received(message: bytes)`` (UTF-8), ``pinged(payload: bytes)``,
    ``close_received(code: int)``, ``failed(code: int, reason: str)``, ``lost()``,
    ``paused()`` and ``resumed()``.
    """

    cdef:
        object handler
        SocketSink sink
        WSTransport transport
        bytearray partial           # fragments joined so far, None between messages
        uint32_t fragments
        uint32_t message_bytes_max
        uint32_t fragments_max
        bint ended                  # CLOSE received, or failed: no message is handed on any more
        # the handler's notes
        public uint64_t handle      # of the core; set in `opened`
        public object session
        public str end_reason       # why it ends, None while it does not
        public bint heard           # anything arrived since the handler last cleared it
        public bint pinged          # ... and it was asked to answer
        public bint close_sent      # our CLOSE is out
        public bint close_was_received

    def __cinit__(self, handler, SocketSink sink, *, message_bytes_max: int, fragments_max: int):
        self.handler = handler
        self.sink = sink
        self.message_bytes_max = message_bytes_max
        self.fragments_max = fragments_max
        self.heard = True

    # called by picows

    cpdef on_ws_connected(self, WSTransport transport):
        self.transport = transport
        transport.is_disconnected = True        # to picows only: it writes nothing from here on
        # Needed no more, and there are tens of thousands of each.
        transport.request = None
        transport.response = None
        transport._write_buffer = _unused_write_buffer
        self.handler.opened(self)
        self.sink.attach(<uint32_t>self.handle, transport._socket, transport.underlying_transport)
        if transport.underlying_transport.get_write_buffer_size():
            self.handler.paused(self)           # the 101 itself did not go out whole

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        self.heard = True
        try:
            if not self.ended:
                self._take(frame)
            elif frame.msg_type == WSMsgType.CLOSE and not self.close_was_received:
                # Well-formed or not, it ends what there was to wait for.
                self.handler.close_received(self, CLOSE_NO_STATUS)
        except Exception:
            log.exception("a frame could not be handled")
            self._fail(1011, "internal error")

    cpdef on_ws_disconnected(self, WSTransport transport):
        self._leave()
        self.transport = None                   # breaks the cycle with picows' protocol
        if self.handle:                         # 0, which is nobody's: `opened` failed
            self.handler.lost(self)

    cpdef pause_writing(self):
        if self.transport is not None:
            self.handler.paused(self)

    cpdef resume_writing(self):
        if self.transport is not None:
            self.handler.resumed(self)

    # messages

    cdef object _take(self, WSFrame frame):
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            return self._fail(CLOSE_PROTOCOL_ERROR, "reserved bit set")
        if frame.msg_type == WSMsgType.PONG:
            return None
        if frame.msg_type == WSMsgType.PING:
            return self.handler.pinged(
                self, PyBytes_FromStringAndSize(frame.payload_ptr, frame.payload_size))
        if frame.msg_type == WSMsgType.CLOSE:
            return self._take_close(
                frame.get_close_code() if frame.payload_size >= 2 else CLOSE_NO_STATUS)
        if frame.msg_type == WSMsgType.CONTINUATION:
            if self.partial is None:
                return self._fail(CLOSE_PROTOCOL_ERROR, "continuation of nothing")
        elif self.partial is not None:
            return self._fail(CLOSE_PROTOCOL_ERROR, "message inside a fragmented message")
        elif frame.msg_type == WSMsgType.BINARY:
            return self._fail(CLOSE_UNSUPPORTED_DATA, "commands are text messages")
        elif frame.fin:
            return self._deliver(PyBytes_FromStringAndSize(frame.payload_ptr, frame.payload_size))
        return self._join(frame)

    cdef object _take_close(self, int code):
        if code != CLOSE_NO_STATUS and not _may_be_sent(code):
            return self._fail(CLOSE_PROTOCOL_ERROR, "close code that is never sent")
        self.ended = True
        return self.handler.close_received(self, code)

    cdef object _join(self, WSFrame frame):
        if self.partial is None:
            self.partial = bytearray()
            self.fragments = 0
        self.fragments += 1
        if (self.fragments > self.fragments_max
                or len(self.partial) + frame.payload_size > self.message_bytes_max):
            return self._fail(CLOSE_TOO_BIG, "fragmented message too big")
        self.partial += frame.payload_ptr[:frame.payload_size]
        if frame.fin:
            message = bytes(self.partial)
            self.partial = None
            return self._deliver(message)
        return None

    cdef object _deliver(self, bytes message):
        try:
            PyUnicode_DecodeUTF8(message, len(message), NULL)
        except UnicodeDecodeError:
            return self._fail(CLOSE_INVALID_TEXT, "text is not UTF-8")
        return self.handler.received(self, message)

    cdef object _fail(self, int code, str reason):
        self.ended = True
        self.partial = None
        return self.handler.failed(self, code, reason)

    def parser_failed(self):
        """picows' parser met an error, and would have sent this CLOSE."""
        if not self.ended:
            unsent = self.transport.close_handshake.sent
            self._fail(unsent.code, unsent.reason)

    cdef int _leave(self) except -1:
        """Nothing comes from the socket any more, nothing goes to it."""
        self.ended = True
        if self.handle:
            self.sink.detach(<uint32_t>self.handle)
        return 0

    # for the handler

    @property
    def peer(self) -> str:
        """The peer's address and port, for a log line."""
        if self.transport is None:
            return "-"
        name = self.transport.underlying_transport.get_extra_info("peername")
        return f"{name[0]}:{name[1]}" if name else "-"

    def close_transport(self) -> None:
        """Close the socket once the transport has written what it holds."""
        self._leave()
        if self.transport is not None:
            self.transport.underlying_transport.close()

    def abort(self) -> None:
        """Close the socket now, whatever the transport holds."""
        self._leave()
        if self.transport is not None:
            self.transport.underlying_transport.abort()
