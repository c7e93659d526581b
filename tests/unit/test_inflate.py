"""Inflating messages: RFC 7692's own examples, what zlib makes, and what attackers make."""

from __future__ import annotations

import random
import tracemalloc
import zlib

import pytest

from wsgate.edge.inflate import (
    BLOCK_BYTES,
    FINAL_BLOCKS_MAX,
    BadDeflate,
    InflatedTooBig,
    inflated,
)

BYTES_MAX = 65_536
EMPTY_FINAL_BLOCK = b"\x03\x00"


def deflated(
    message: bytes, level: int = 6, bits: int = 15, flush: int = zlib.Z_SYNC_FLUSH
) -> bytes:
    stream = zlib.compressobj(level, zlib.DEFLATED, -bits)
    return (stream.compress(message) + stream.flush(flush)).removesuffix(b"\x00\x00\xff\xff")


def final(message: bytes) -> bytes:
    """The message as a stream of its own, which ends with a final block."""
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(message) + stream.flush(zlib.Z_FINISH)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(bytes.fromhex("f248cdc9c90700"), id="one block"),
        pytest.param(bytes.fromhex("000500faff48656c6c6f00"), id="no compression"),
        pytest.param(bytes.fromhex("f348cdc9c9070000"), id="final block"),
        pytest.param(
            bytes.fromhex("f248050000 00ffffcac9c90700".replace(" ", "")), id="two blocks"
        ),
    ],
)
def test_the_examples_of_rfc_7692(payload: bytes) -> None:
    assert inflated(payload, 5) == b"Hello"


@pytest.mark.parametrize(
    "size", [0, 1, 1000, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 65_536]
)
@pytest.mark.parametrize("bits", [9, 12, 15])
@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("kind", ["text", "noise"])
def test_what_zlib_makes(size: int, bits: int, level: int, kind: str) -> None:
    noise = random.Random(size)
    message = noise.randbytes(size) if kind == "noise" else (b"price %d, " % size * size)[:size]
    assert inflated(deflated(message, level, bits), size) == message


def test_flushes_within_a_message() -> None:
    stream = zlib.compressobj(wbits=-15)
    payload = b""
    for number in range(100):
        payload += stream.compress(b"%d," % number) + stream.flush(
            (zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_PARTIAL_FLUSH)[number % 3]
        )
    payload += stream.flush(zlib.Z_SYNC_FLUSH)
    whole = b"".join(b"%d," % number for number in range(100))
    assert inflated(payload.removesuffix(b"\x00\x00\xff\xff"), BYTES_MAX) == whole


@pytest.mark.parametrize("payload", [b"", b"\x00", b"\x02\x00"])
def test_an_empty_message(payload: bytes) -> None:
    assert inflated(payload, 0) == b""


def test_blocks_after_a_final_one_may_refer_back_before_it() -> None:
    first = b"".join(b"%d " % number for number in range(5000))
    stream = zlib.compressobj(wbits=-15, zdict=first[-32768:])
    second = stream.compress(first[-1000:]) + stream.flush(zlib.Z_SYNC_FLUSH)
    payload = final(first) + second[:-4]
    assert inflated(payload, BYTES_MAX) == first + first[-1000:]


def test_final_blocks_are_few() -> None:
    assert inflated(EMPTY_FINAL_BLOCK * FINAL_BLOCKS_MAX + b"\x00", 0) == b""
    with pytest.raises(BadDeflate, match=f"more than {FINAL_BLOCKS_MAX} final blocks"):
        inflated(EMPTY_FINAL_BLOCK * (FINAL_BLOCKS_MAX + 1) + b"\x00", 0)


@pytest.mark.parametrize("size", [1, 100, BLOCK_BYTES, BYTES_MAX])
def test_a_byte_too_many(size: int) -> None:
    payload = deflated(b"x" * size)
    assert inflated(payload, size) == b"x" * size
    with pytest.raises(InflatedTooBig):
        inflated(payload, size - 1)


@pytest.mark.parametrize("flush", [zlib.Z_SYNC_FLUSH, zlib.Z_FINISH])
def test_a_bomb_costs_its_limit_and_a_block(flush: int) -> None:
    payload = deflated(bytes(64 << 20), 9, flush=flush)
    assert len(payload) < BYTES_MAX
    zlib_s_own = 48 * 1024  # state and window
    tracemalloc.start()
    try:
        with pytest.raises(InflatedTooBig):
            inflated(payload, BYTES_MAX)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Beside what a message may hold: the block at hand, a slice of the input, what is left of it.
    assert peak < len(payload) + BYTES_MAX + 4 * BLOCK_BYTES + zlib_s_own


def test_every_truncation_is_noticed() -> None:
    message = b"".join(b"%d " % (number * number) for number in range(100))
    payload = deflated(message)
    for size in range(1, len(payload)):
        with pytest.raises(BadDeflate):
            inflated(payload[:size], BYTES_MAX)


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"\x00\x00\xff\xff", id="the tail that is left out"),
        pytest.param(b"\xff", id="no block"),
        pytest.param(b"garbage", id="text"),
        pytest.param(b"\x01\x00\x00\xff\xff", id="a final block without an empty one behind"),
    ],
)
def test_nothing_may_follow_the_stream(garbage: bytes) -> None:
    with pytest.raises(BadDeflate):
        inflated(deflated(b"Hello") + garbage, BYTES_MAX)


def test_noise_is_refused_or_inflated_and_nothing_else() -> None:
    noise = random.Random(1)
    refused = 0
    for _ in range(2000):
        try:
            inflated(noise.randbytes(noise.randrange(1, 60)), 100)
        except (BadDeflate, InflatedTooBig):
            refused += 1
    assert refused > 1900
