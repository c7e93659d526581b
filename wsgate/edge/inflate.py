"""Inflating one message: permessage-deflate without context takeover (RFC 7692 7.2.2).

Each message is a stream of its own, so nothing is kept from one to the next. Output is made a block
at a time: a message that would be too big costs its limit and one block, whatever it claims to be.
"""

from __future__ import annotations

import zlib
from typing import Final

BLOCK_BYTES: Final = 16 * 1024
WINDOW_BYTES: Final = 32 * 1024
# Some compressors end a message with a final block and an empty one behind it (RFC 7692 7.2.3.4).
# zlib stops at each, and to start it again is dear: who writes hundreds wants to keep us busy.
FINAL_BLOCKS_MAX: Final = 16
# What the sender left out of its flush, then a final empty block. zlib reaches the end of the
# stream exactly there if and only if the message ended with a whole block.
FLUSH_AND_END: Final = b"\x00\x00\xff\xff" + b"\x01\x00\x00\xff\xff"


class InflatedTooBig(Exception):
    """There is more in the message than it may hold."""


class BadDeflate(Exception):
    """The message is no deflate stream, or not a whole one, or more than one."""


def inflated(payload: bytes, bytes_max: int) -> bytes:
    """The message in a compressed payload.

    Raises InflatedTooBig if it has more than ``bytes_max`` bytes, BadDeflate if it has no meaning.
    """
    if not payload:
        return b""  # zlib's flush of nothing is nothing, and some clients send that
    stream = payload + FLUSH_AND_END
    decoder = zlib.decompressobj(-zlib.MAX_WBITS)
    pieces: list[bytes] = []
    size = at = final_blocks = 0
    while True:
        given = stream[at : at + BLOCK_BYTES]
        try:
            piece = decoder.decompress(given, BLOCK_BYTES)
        except zlib.error as error:
            raise BadDeflate(str(error)) from None
        # At the end of a stream Python may call the same bytes unconsumed and unused.
        at += len(given) - len(decoder.unused_data if decoder.eof else decoder.unconsumed_tail)
        size += len(piece)
        if size > bytes_max:
            raise InflatedTooBig
        pieces.append(piece)
        if decoder.eof:
            if at == len(stream):
                return b"".join(pieces)
            final_blocks += 1
            if final_blocks > FINAL_BLOCKS_MAX:
                raise BadDeflate(f"more than {FINAL_BLOCKS_MAX} final blocks")
            window = b"".join(pieces)[-WINDOW_BYTES:]
            decoder = zlib.decompressobj(-zlib.MAX_WBITS, zdict=window)
        elif at == len(stream) and len(piece) < BLOCK_BYTES:
            raise BadDeflate("the stream ends within a block")
