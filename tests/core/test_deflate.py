"""permessage-deflate in the core: one compressed twin a publication, for those who inflate it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import pytest

from tests.core.rig import LIMITS, RULES, envelope, gap_message, rule_of, slot_of, text
from tests.core.wire import Wire
from wsgate.core.counters import live_objects
from wsgate.core.fanout import Fanout

RSV1_TEXT = 0xC1
LONG = b'"' + b"the same again and again; " * 40 + b'"'


def compress(payload: bytes) -> bytes:
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    return (stream.compress(payload) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


def inflate(payload: bytes) -> bytes:
    return zlib.decompress(payload + b"\x00\x00\xff\xff" + b"\x03\x00", wbits=-15)


class Squeezing:
    """A core that compresses, and a count of how often it did."""

    def __init__(self, bytes_min: int = 0) -> None:
        self.wire = Wire()
        self.calls = 0
        self.core = Fanout(
            self.wire,
            RULES,
            gap_message,
            **LIMITS,
            compress=self._compress,
            deflate_bytes_min=bytes_min,
        )

    def _compress(self, payload: bytes) -> bytes:
        self.calls += 1
        return compress(payload)

    def open(self, window_bits: int, *channels: str) -> int:
        handle = self.core.open(window_bits)
        for name in channels:
            self.core.subscribe(handle, name, rule_of(name))
        return handle

    def publish(self, channel: str, payload: bytes) -> None:
        self.core.publish(self.core.open_channel(channel, rule_of(channel)), payload)

    def flush(self) -> None:
        while self.core.flush(0, 1_000_000):
            pass

    def frames(self, handle: int) -> list[tuple[int, bytes]]:
        return list(split(bytes(self.wire.stream(slot_of(handle)))))


def split(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """(first byte, payload) of each frame of a server."""
    at = 0
    while at < len(stream):
        first, size = stream[at], stream[at + 1]
        at += 2
        if size >= 126:
            wide = 2 if size == 126 else 8
            size = int.from_bytes(stream[at : at + wide], "big")
            at += wide
        yield first, stream[at : at + size]
        at += size


@pytest.mark.parametrize("channel", ["event.a", "state.a"])
def test_it_is_compressed_once_for_all_who_inflate(channel: str) -> None:
    rig = Squeezing()
    inflating = [rig.open(15, channel) for _ in range(20)]
    plain = [rig.open(0, channel) for _ in range(20)]
    rig.publish(channel, LONG)
    rig.flush()
    expected = envelope(channel, 1, 0, LONG)
    for handle in inflating:
        ((first, payload),) = rig.frames(handle)
        assert first == RSV1_TEXT
        assert inflate(payload) == expected
        assert len(payload) < len(expected) / 4
    for handle in plain:
        assert rig.frames(handle) == [(0x81, expected)]
    assert rig.calls == 1
    totals = rig.core.counters.snapshot()
    assert totals["deliveries"] == 40
    assert totals["frames_encoded"] == totals["frames_deflated"] == 1
    compressed, whole = (len(rig.wire.stream(slot_of(h))) for h in (inflating[0], plain[0]))
    assert totals["frames_deflated_bytes"] == compressed
    assert totals["frames_deflated_saved_bytes"] == whole - compressed


def test_nothing_is_compressed_that_nobody_inflates() -> None:
    rig = Squeezing()
    rig.open(0, "event.a")
    rig.publish("event.a", LONG)
    rig.flush()
    assert rig.calls == 0


@pytest.mark.parametrize("payload", [b"0", b'"q8zT2"', LONG[:60]])
def test_what_compressing_does_not_shrink_goes_out_as_it_is(payload: bytes) -> None:
    rig = Squeezing()
    handles = [rig.open(15, "event.a") for _ in range(3)]
    rig.publish("event.a", payload)
    rig.flush()
    expected = envelope("event.a", 1, 0, payload)
    for handle in handles:
        ((first, sent),) = rig.frames(handle)
        assert (inflate(sent) if first == RSV1_TEXT else sent) == expected
        assert len(sent) <= len(expected)
    assert rig.calls == 1, "tried once, not once for each"


@pytest.mark.parametrize(("bytes_min", "calls"), [(2000, 0), (100, 1)])
def test_small_frames_are_not_even_tried(bytes_min: int, calls: int) -> None:
    rig = Squeezing(bytes_min)
    rig.open(15, "event.a")
    rig.publish("event.a", LONG)
    rig.flush()
    assert rig.calls == calls


@pytest.mark.parametrize("window_bits", range(8, 16))
def test_a_small_window_gets_no_frame_that_may_refer_back_farther(window_bits: int) -> None:
    for size in (2 ** (window_bits - 1), 2**window_bits + 1):
        rig = Squeezing()
        handle = rig.open(window_bits, "event.a")
        other = rig.open(15, "event.a")
        rig.publish("event.a", b'"' + b"a" * size + b'"')
        rig.flush()
        ((first, payload),) = rig.frames(handle)
        if first == RSV1_TEXT:
            assert len(inflate(payload)) <= 2**window_bits or window_bits == 15
        else:
            assert size > 2**window_bits - 200
        assert rig.frames(other)[0][0] == RSV1_TEXT


def test_replies_are_never_compressed() -> None:
    rig = Squeezing()
    handle = rig.open(15)
    rig.core.delivery.reply(handle, text(LONG))
    rig.core.delivery.flush_urgent(10)
    assert rig.frames(handle) == [(0x81, LONG)]
    assert rig.calls == 0


@pytest.mark.parametrize("cut_at", [0, 1, 3, 40])
def test_a_cut_compressed_frame_is_finished_whole(cut_at: int) -> None:
    rig = Squeezing()
    handle = rig.open(15, "event.a", "state.a")
    rig.wire.accept(slot_of(handle), cut_at)
    for _ in range(3):
        rig.publish("event.a", LONG)
        rig.publish("state.a", LONG)
    rig.flush()
    rig.wire.drain(slot_of(handle))
    rig.core.delivery.resume(handle)
    rig.flush()
    frames = rig.frames(handle)
    assert [inflate(payload) for _, payload in frames] == [
        *(envelope("event.a", seq, seq - 1, LONG) for seq in (1, 2, 3)),
        envelope("state.a", 3, 2, LONG),
    ]


def test_the_twin_goes_with_its_frame() -> None:
    before = live_objects()["frames"]
    rig = Squeezing()
    handle = rig.open(15, "event.a", "state.a")
    rig.publish("event.a", LONG)
    rig.publish("state.a", LONG)
    rig.flush()
    assert live_objects()["frames"] == before + 2, "the state channel's latest value and its twin"
    rig.publish("state.a", b"1")
    assert live_objects()["frames"] == before
    rig.core.release(handle)


@pytest.mark.parametrize("window_bits", [1, 7, 16, 200])
def test_a_window_that_deflate_does_not_have(window_bits: int) -> None:
    rig = Squeezing()
    with pytest.raises(ValueError, match=f"{window_bits} bits"):
        rig.core.open(window_bits)


def test_a_core_that_cannot_compress_says_so_at_once() -> None:
    core = Fanout(Wire(), RULES, gap_message, **LIMITS)
    with pytest.raises(ValueError, match="15 bits"):
        core.open(15)


def test_compress_may_fail_and_the_core_lives_on() -> None:
    def fail(payload: bytes) -> bytes:
        raise MemoryError

    core = Fanout(Wire(), RULES, gap_message, **LIMITS, compress=fail)
    handle = core.open(15)
    core.subscribe(handle, "event.a", 1)
    core.publish(core.open_channel("event.a", 1), LONG)
    with pytest.raises(MemoryError):
        core.flush(0, 10)
    core.release(handle)
    core.check()
