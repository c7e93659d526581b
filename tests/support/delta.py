"""Messages of ``wsgate.delta.v1`` as docs/protocol.md says, by nothing that the gateway uses."""

from __future__ import annotations

import zlib

KEYFRAME, RENEWAL, DELTA, KEPT, SAME, PLAIN = range(1, 7)
NAMES = {"state": 0, "event": 1}


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value: int) -> int:
    return -2 * value - 1 if value < 0 else 2 * value


def deflated(payload: bytes, dictionary: bytes = b"") -> bytes:
    stream = zlib.compressobj(6, zlib.DEFLATED, -15, 8, zlib.Z_DEFAULT_STRATEGY, dictionary)
    return stream.compress(payload) + stream.flush()


def word(text: str) -> bytes:
    return varint(len(text)) + text.encode()


def head(form: int, generation: int, number: int) -> bytes:
    return bytes([form + 8 * (generation % 32)]) + varint(number)


def keyframe(
    number: int,
    generation: int,
    seq: int,
    payload: bytes,
    channel: str = "token.abc.update",
    type: str = "token_update",
    kind: str = "state",
) -> bytes:
    named = varint(NAMES[kind]) + word(type) + word(channel)
    return head(KEYFRAME, generation, number) + varint(seq) + named + deflated(payload)


def renewal(number: int, generation: int, difference: int, payload: bytes, before: bytes) -> bytes:
    """`generation`: of the keyframe that it needs, which is `before`, as of all that follow."""
    start = head(RENEWAL, generation, number)
    return start + varint(zigzag(difference)) + deflated(payload, before)


def publication(
    form: int, number: int, generation: int, difference: int, back: int, rest: bytes
) -> bytes:
    return head(form, generation, number) + varint(zigzag(difference)) + varint(back) + rest


def delta(
    number: int, generation: int, difference: int, back: int, payload: bytes, against: bytes
) -> bytes:
    return publication(DELTA, number, generation, difference, back, deflated(payload, against))


def kept(
    number: int, generation: int, difference: int, back: int, payload: bytes, against: bytes
) -> bytes:
    return publication(KEPT, number, generation, difference, back, deflated(payload, against))


def same(number: int, generation: int, difference: int, back: int) -> bytes:
    return publication(SAME, number, generation, difference, back, b"")


def plain(number: int, generation: int, difference: int, back: int, payload: bytes) -> bytes:
    return publication(PLAIN, number, generation, difference, back, payload)
