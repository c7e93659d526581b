"""The payload of a compressed message: a message within its limit, or a documented error.

The first two bytes are the limit, the third says whether the rest is the payload, or a message
to be compressed in some way, which then must come back.
"""

from __future__ import annotations

import zlib

from tests.fuzz.tape import Tape
from wsgate.deflate import SYNC_TAIL
from wsgate.edge.inflate import BadDeflate, InflatedTooBig, inflated

WORDS = [
    b"\x00\x00\xff\xff", b"\x01\x00\x00\xff\xff", b"\x03\x00", b"\x02\x00", b"\x00\x00\x00\xff\xff",
    b"\x01\x05\x00\xfa\xffHello", b"\xf2\x48\xcd\xc9\xc9\x07\x00", b"\xf3\x48\xcd\xc9\xc9\x07\x00",
    b"\xc1\x00\x11\x00\x00", b"\xff\xff\xff\xff", b"\x78\x9c", b"\x1f\x8b\x08",
]  # fmt: skip
REPEATS = [1, 2, 16, 100]
FLUSHES = [zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_FINISH]


def fuzz(data: bytes) -> None:
    tape = Tape(data)
    bytes_max = tape.number(65535)
    if tape.number(1):
        _check_round_trip(tape, bytes_max)
    else:
        _check_any(tape.rest(), bytes_max)


def _check_any(payload: bytes, bytes_max: int) -> None:
    message = _outcome(payload, bytes_max)
    theirs, is_one_stream = _by_zlib(payload, bytes_max + 1)
    if isinstance(message, bytes):
        assert len(message) <= bytes_max
        assert message.startswith(theirs), "zlib reads something else"
        assert _outcome(payload, 65_536) == message, "another limit, another message"
    elif is_one_stream and _is_whole(payload):
        assert message is InflatedTooBig and len(theirs) > bytes_max, "zlib reads it"


def _check_round_trip(tape: Tape, bytes_max: int) -> None:
    level, bits, repeats = tape.number(9), 9 + tape.number(6), tape.one_of(REPEATS)
    flush = tape.one_of(FLUSHES)
    message = tape.rest() * repeats
    stream = zlib.compressobj(level, zlib.DEFLATED, -bits)
    payload = stream.compress(message) + stream.flush(flush)
    if flush == zlib.Z_FINISH:
        payload += b"\x00"  # RFC 7692 7.2.3.4
    expected = message if len(message) <= bytes_max else InflatedTooBig
    assert _outcome(payload.removesuffix(SYNC_TAIL), bytes_max) == expected


def _outcome(payload: bytes, bytes_max: int) -> bytes | type[Exception]:
    try:
        return inflated(payload, bytes_max)
    except (InflatedTooBig, BadDeflate) as error:
        assert isinstance(error, InflatedTooBig) or str(error)
        return type(error)


def _by_zlib(payload: bytes, bytes_max: int) -> tuple[bytes, bool]:
    """What zlib makes of the first stream in it, and whether that is all there is."""
    decoder = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        message = decoder.decompress(payload + SYNC_TAIL, bytes_max)
    except zlib.error:
        return b"", False
    return message, not decoder.eof


def _is_whole(payload: bytes) -> bool:
    """Whether the bits of the payload and SYNC_TAIL end where a block does."""
    decoder = zlib.decompressobj(-zlib.MAX_WBITS)
    end = b"\x01\x00\x00\xff\xff"
    try:
        decoder.decompress(payload + SYNC_TAIL + end)
    except zlib.error:
        return False
    return decoder.eof and not decoder.unused_data
