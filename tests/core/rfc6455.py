"""WebSocket frames by the book (RFC 6455 section 5): what the core is compared with.

Strict about what a server sends: unmasked, unfragmented, lengths in their shortest form.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

TEXT = 0x1
BINARY = 0x2
CLOSE = 0x8
PING = 0x9
PONG = 0xA

CONTROL_PAYLOAD_BYTES_MAX = 125


class WireFrame(NamedTuple):
    opcode: int
    payload: bytes


class Malformed(Exception):
    """The bytes are not whole frames that a server may send."""


def encode(opcode: int, payload: bytes) -> bytes:
    """One whole frame with FIN set."""
    if len(payload) < 126:
        header = struct.pack("!BB", 0x80 | opcode, len(payload))
    elif len(payload) < 1 << 16:
        header = struct.pack("!BBH", 0x80 | opcode, 126, len(payload))
    else:
        header = struct.pack("!BBQ", 0x80 | opcode, 127, len(payload))
    return header + payload


class Cut(Malformed):
    """The bytes end within a frame."""


def parse(stream: bytes) -> list[WireFrame]:
    """The frames that `stream` consists of, down to its last byte."""
    frames = []
    at = 0
    while at < len(stream):
        frame, at = _parse_one(stream, at)
        frames.append(frame)
    return frames


def parse_whole(stream: bytes, at: int) -> tuple[list[WireFrame], int]:
    """The whole frames from `at` on, and where the last one ends."""
    frames = []
    while at < len(stream):
        try:
            frame, at = _parse_one(stream, at)
        except Cut:
            break
        frames.append(frame)
    return frames, at


def _parse_one(stream: bytes, at: int) -> tuple[WireFrame, int]:
    if len(stream) - at < 2:
        raise Cut(f"a header of one byte at {at}")
    first, second = stream[at], stream[at + 1]
    at += 2
    if first & 0xF0 != 0x80:
        raise Malformed(f"FIN is not set, or a reserved bit is: {first:#04x} at {at - 2}")
    if second & 0x80:
        raise Malformed(f"a server does not mask: {second:#04x} at {at - 1}")
    opcode, size = first & 0x0F, second
    if opcode not in (TEXT, BINARY, CLOSE, PING, PONG):
        raise Malformed(f"opcode {opcode} at {at - 2}")
    if opcode >= CLOSE and size > CONTROL_PAYLOAD_BYTES_MAX:
        raise Malformed(f"a control frame of {size} bytes")
    wide = {126: 2, 127: 8}.get(size, 0)
    if len(stream) - at < wide:
        raise Cut(f"{len(stream) - at} bytes of a length of {wide}")
    if size == 126:
        (size,) = struct.unpack_from("!H", stream, at)
        at += 2
        if size < 126:
            raise Malformed(f"{size} written as a 16-bit length")
    elif size == 127:
        (size,) = struct.unpack_from("!Q", stream, at)
        at += 8
        if size < 1 << 16:
            raise Malformed(f"{size} written as a 64-bit length")
    if len(stream) - at < size:
        raise Cut(f"{len(stream) - at} bytes of a payload of {size}")
    return WireFrame(opcode, stream[at : at + size]), at + size
