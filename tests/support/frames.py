"""WebSocket frames from the client's side: written as wrong as a test likes, read without mercy."""

from __future__ import annotations

import json
import struct
import zlib
from itertools import pairwise
from typing import Any, NamedTuple

CONTINUATION = 0x0
TEXT = 0x1
BINARY = 0x2
CLOSE = 0x8
PING = 0x9
PONG = 0xA

SERVER_OPCODES = {TEXT, CLOSE, PING, PONG}  # the gateway neither fragments nor sends binary
RSV1_TEXT = 0xC1
# What RFC 7692 7.2.1 leaves out of a message, and a final block behind it.
DEFLATE_END = b"\x00\x00\xff\xff\x03\x00"
MASK = bytes.fromhex("5a17c32e")


class Malformed(Exception):
    """What arrived is not what a server may send."""


class Frame(NamedTuple):
    opcode: int
    payload: bytes

    @property
    def text(self) -> str:
        if self.opcode != TEXT:
            raise Malformed(f"a text frame is due, not {self}")
        return self.payload.decode()

    @property
    def message(self) -> Any:
        return json.loads(self.text)

    @property
    def close_code(self) -> int | None:
        """None for a CLOSE without a code."""
        if self.opcode != CLOSE:
            raise Malformed(f"a CLOSE is due, not {self}")
        return int.from_bytes(self.payload[:2], "big") if self.payload else None

    @property
    def close_reason(self) -> str:
        return self.payload[2:].decode()


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    masked: bool = True,
    length_bytes: int | None = None,
) -> bytes:
    """A frame; by default a correct one. ``length_bytes``: 0, 2 or 8, the shortest if not given."""
    size = len(payload)
    if length_bytes is None:
        length_bytes = 0 if size < 126 else 2 if size < 1 << 16 else 8
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    mask_bit = 0x80 if masked else 0
    if length_bytes == 0:
        header = struct.pack("!BB", first, mask_bit | size)
    elif length_bytes == 2:
        header = struct.pack("!BBH", first, mask_bit | 126, size)
    else:
        header = struct.pack("!BBQ", first, mask_bit | 127, size)
    if not masked:
        return header + payload
    repeated = MASK * (size // 4 + 1)
    return header + MASK + bytes(a ^ b for a, b in zip(payload, repeated, strict=False))


def close_frame(code: int | None = None, reason: bytes = b"") -> bytes:
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


def command(type: str, **fields: Any) -> bytes:
    """A text frame with a command of wsgate.v1."""
    return frame(TEXT, json.dumps({"type": type, **fields}).encode())


class FrameReader:
    """Takes bytes as they come, gives whole frames; Malformed as soon as one is wrong.

    ``inflates``: text may be compressed (RFC 7692, without context takeover).
    """

    def __init__(self, *, inflates: bool = False) -> None:
        self._unread = bytearray()
        self._inflates = inflates

    def feed(self, data: bytes) -> None:
        self._unread += data

    @property
    def partial(self) -> bytes:
        """The beginning of a frame that has not arrived whole."""
        return bytes(self._unread)

    def next(self) -> Frame | None:
        """The next whole frame, None while there is none."""
        unread = self._unread
        if len(unread) < 2:
            return None
        first, size = unread[0], unread[1]
        opcode = first & 0x0F
        compressed = self._inflates and first == RSV1_TEXT
        if (first & 0xF0 != 0x80 and not compressed) or opcode not in SERVER_OPCODES:
            raise Malformed(f"a frame begins with {first:#04x}: {bytes(unread[:80])!r}")
        if size & 0x80:
            raise Malformed("a server does not mask")
        header = {126: 4, 127: 10}.get(size, 2)
        if len(unread) < header:
            return None
        if header > 2:
            size = int.from_bytes(unread[2:header], "big")
            if size < (126 if header == 4 else 1 << 16):
                raise Malformed(f"a length of {size} in {header - 2} bytes")
        if opcode >= CLOSE and size > 125:
            raise Malformed(f"a control frame of {size} bytes")
        if len(unread) < header + size:
            return None
        payload = bytes(unread[header : header + size])
        del unread[: header + size]
        if compressed:
            payload = zlib.decompress(payload + DEFLATE_END, wbits=-15)
        return Frame(opcode, payload)


def fragments(message: bytes, *cuts: int) -> list[bytes]:
    """The message as a text frame and continuations, cut at these places."""
    edges = [0, *cuts, len(message)]
    last = len(edges) - 2
    return [
        frame(CONTINUATION if place else TEXT, message[start:end], fin=place == last)
        for place, (start, end) in enumerate(pairwise(edges))
    ]
