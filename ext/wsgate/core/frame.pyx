"""Encoded WebSocket frames, built once and shared by everybody they are owed to.

Owns: the bytes of each frame, counted references to them, its twins in other formats if it has any, and
the keyframe that a twin needs.
Never: masks (servers do not), fragments, or changes a frame after it was built.
Invariant: ``size`` bytes of ``data`` are exactly one whole unmasked RFC 6455 frame.
Cost: building is one allocation and one copy of the payload; keep and drop are O(1).

A publication's payload is spliced into its envelope, never parsed or rebuilt here::

    81 7e 02 4c | {"type":"token_update","channel":"token.abc.update","seq":42,"prev":41,"data": | {...} | }
    header        head, made once for each channel                                                payload
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from wsgate.core.counters cimport NO_RULE, live

import json

PREFIX_TYPE = b'{"type":'
PREFIX_CHANNEL = b',"channel":"'
PREFIX_SEQ = b'","seq":'

cdef bytes _INFIX_PREV = b',"prev":'
cdef bytes _INFIX_DATA = b',"data":'

cdef enum:
    DIGITS_MAX = 20             # of a 64-bit number in decimal


def publication_head(kind: str, channel: str) -> bytes:
    """The part of a publication's envelope that never changes for a channel.

    `channel` must need no escaping in JSON (the channel grammar sees to it).
    """
    return (PREFIX_TYPE + json.dumps(kind).encode() + PREFIX_CHANNEL
            + channel.encode("ascii") + PREFIX_SEQ)


cdef frame_t* frame_new(Opcode opcode, size_t size, FrameRole role, char** payload) except NULL:
    cdef size_t header = 2 if size < 126 else (4 if size < 65536 else 10)
    cdef frame_t* frame = NULL
    cdef uint8_t* out
    cdef int index
    if size > 0x7FFFFFFF:
        raise OverflowError(f"a frame's payload of {size} bytes is more than 2 GiB")
    frame = <frame_t*>malloc(sizeof(frame_t) + header + size)
    if frame == NULL:
        raise MemoryError()
    live.frames += 1
    frame.refs = 1
    frame.size = <uint32_t>(header + size)
    frame.name_at = 0
    frame.name_size = 0
    frame.role = role
    frame.rule = NO_RULE
    frame.deflated = NULL
    frame.delta = NULL
    frame.keyframe = NULL
    out = <uint8_t*>frame.data
    out[0] = 0x80 | <uint8_t>opcode
    if header == 2:
        out[1] = <uint8_t>size
    elif header == 4:
        out[1] = 126
        out[2] = <uint8_t>(size >> 8)
        out[3] = <uint8_t>(size & 0xFF)
    else:
        out[1] = 127
        for index in range(8):
            out[2 + index] = <uint8_t>((<uint64_t>size >> (56 - 8 * index)) & 0xFF)
    payload[0] = frame.data + header
    return frame


cdef void frame_free(frame_t* frame) noexcept nogil:
    """Nobody owns the frame any more."""
    if frame.deflated != NULL and frame.deflated != frame:
        frame_drop(frame.deflated)
    if frame.delta != NULL:
        frame_drop(frame.delta)
    keyframe_drop(frame.keyframe)
    live.frames -= 1
    free(frame)


cdef void keyframe_drop(keyframe_t* keyframe) noexcept nogil:
    """Give up a reference."""
    if keyframe == NULL:
        return
    keyframe.refs -= 1
    if keyframe.refs:
        return
    if keyframe.whole != NULL:
        frame_drop(keyframe.whole)
    if keyframe.renewal != NULL:
        frame_drop(keyframe.renewal)
    live.blocks -= 1
    free(keyframe)


cdef inline int _decimal(uint64_t number, char* end) noexcept nogil:
    """Write `number` so that it ends just before `end`; return its length."""
    cdef char* at = end
    while True:
        at -= 1
        at[0] = <char>(48 + number % 10)
        number //= 10
        if number == 0:
            return <int>(end - at)


cdef inline char* _append(char* out, const char* part, size_t size) noexcept nogil:
    memcpy(out, part, size)
    return out + size


cdef frame_t* frame_publication(
    bytes head, uint16_t name_size, uint8_t rule, uint64_t seq, uint64_t prev, bytes payload
) except NULL:
    cdef char digits[2 * DIGITS_MAX]
    cdef char* seq_end = &digits[DIGITS_MAX]
    cdef char* prev_end = &digits[2 * DIGITS_MAX]
    cdef int seq_size = _decimal(seq, seq_end)
    cdef int prev_size = _decimal(prev, prev_end)
    cdef size_t head_size = PyBytes_GET_SIZE(head)
    cdef size_t payload_size = PyBytes_GET_SIZE(payload)
    cdef size_t size = head_size + seq_size + 8 + prev_size + 8 + payload_size + 1
    cdef char* out = NULL
    cdef frame_t* frame = frame_new(OP_TEXT, size, PLAIN, &out)
    frame.name_at = <uint16_t>((out - frame.data) + head_size - 8 - name_size)
    frame.name_size = name_size
    frame.rule = rule
    out = _append(out, PyBytes_AS_STRING(head), head_size)
    out = _append(out, seq_end - seq_size, seq_size)
    out = _append(out, PyBytes_AS_STRING(_INFIX_PREV), 8)
    out = _append(out, prev_end - prev_size, prev_size)
    out = _append(out, PyBytes_AS_STRING(_INFIX_DATA), 8)
    out = _append(out, PyBytes_AS_STRING(payload), payload_size)
    out[0] = b"}"
    return frame


cdef frame_t* _copied(Opcode opcode, bytes payload, FrameRole role) except NULL:
    cdef char* out = NULL
    cdef size_t size = PyBytes_GET_SIZE(payload)
    cdef frame_t* frame = frame_new(opcode, size, role, &out)
    memcpy(out, PyBytes_AS_STRING(payload), size)
    return frame


cdef frame_t* _message(Opcode opcode, bytes payload, bint deflated) except NULL:
    cdef frame_t* frame = _copied(opcode, payload, PLAIN)
    if deflated:
        frame.data[0] |= RSV1
    return frame


cdef class Frame:
    """One shared frame, for code that is not on the hot path.

    Built by the class methods only; ``bytes(frame)`` is what goes over the wire.
    """

    def __init__(self):
        raise TypeError("use Frame.text, .binary, .feed, .pong, .ping, .close or .publication")

    def __dealloc__(self):
        if self.raw != NULL:
            frame_drop(self.raw)

    @staticmethod
    cdef Frame wrap(frame_t* raw):
        cdef Frame self = Frame.__new__(Frame)
        self.raw = raw
        return self

    @staticmethod
    def text(payload: bytes, *, deflated: bool = False) -> Frame:
        """A text message that is queued as it comes; `deflated`: compressed already (RFC 7692 6)."""
        return Frame.wrap(_message(OP_TEXT, payload, deflated))

    @staticmethod
    def binary(payload: bytes, *, deflated: bool = False) -> Frame:
        """A binary message that is queued as it comes; `deflated`: as of ``text``."""
        return Frame.wrap(_message(OP_BINARY, payload, deflated))

    @staticmethod
    def feed(payload: bytes) -> Frame:
        """A text message about the feed: a newer one takes the place of an owed one."""
        return Frame.wrap(_copied(OP_TEXT, payload, FEED))

    @staticmethod
    def pong(payload: bytes) -> Frame:
        """A PONG with at most 125 bytes; of many only the first few and the newest stay owed."""
        if len(payload) > CONTROL_PAYLOAD_BYTES_MAX:
            raise ValueError(f"a PONG carries at most 125 bytes (RFC 6455 5.5), not {len(payload)}")
        return Frame.wrap(_copied(OP_PONG, payload, PONG))

    @staticmethod
    def ping() -> Frame:
        """An empty PING."""
        return Frame.wrap(_copied(OP_PING, b"", PLAIN))

    @staticmethod
    def close(code: int | None = None, reason: str = "") -> Frame:
        """A CLOSE; `reason` is at most 123 bytes of UTF-8. No code: an empty CLOSE."""
        if code is None:
            return Frame.wrap(_copied(OP_CLOSE, b"", CLOSE))
        payload = code.to_bytes(2, "big") + reason.encode()
        if len(payload) > CONTROL_PAYLOAD_BYTES_MAX:
            raise ValueError(f"a close reason is at most 123 bytes (RFC 6455 5.5): {reason!r}")
        return Frame.wrap(_copied(OP_CLOSE, payload, CLOSE))

    @staticmethod
    def publication(kind: str, channel: str, seq: int, prev: int, payload: bytes) -> Frame:
        """A publication in its envelope; `payload` is JSON already."""
        head = publication_head(kind, channel)
        return Frame.wrap(frame_publication(head, len(channel), 0, seq, prev, payload))

    @property
    def references(self) -> int:
        """How many owners the frame has, this object included."""
        return self.raw.refs

    @property
    def channel(self) -> str:
        """The channel's name as read from the frame; empty if it is not a publication."""
        return self.raw.data[self.raw.name_at:self.raw.name_at + self.raw.name_size].decode()

    def __bytes__(self) -> bytes:
        return PyBytes_FromStringAndSize(self.raw.data, self.raw.size)

    def __len__(self) -> int:
        return self.raw.size
