"""``wsgate.delta.v1``: publications as deflated differences. The format, and a decoder for clients.

``docs/protocol.md`` has it to the byte. A channel's *keyframe* is one of its payloads; a message
has the next payloads deflated, with the keyframe as preset dictionary. The encoder is in
``wsgate.core.delta``; what it deflates with is here, so that both ends stand side by side. Sans-IO:
bytes in, publications out.

Cost: a message is inflated once; a decoder holds at most CHANNELS_HELD_MAX keyframes.
"""

from __future__ import annotations

import zlib
from enum import IntEnum
from typing import Final, NamedTuple

CHANNELS_HELD_MAX: Final = 4096  # whose keyframes a client holds; then the one held longest goes
KEYFRAME_BYTES_MAX: Final = 32_768  # as far back as deflate can refer
GENERATIONS: Final = 32  # what a first byte tells apart
VARINT_BYTES_MAX: Final = 8
NUMBER_MAX: Final = 2**53 - 1  # what a JavaScript number holds exactly
PAYLOAD_BYTES_MAX: Final = 16 * 1024 * 1024  # a decoder's, unless it is told otherwise

_KINDS: Final = ("state", "event")


class Form(IntEnum):
    """The low three bits of a message's first byte; the others are the keyframe's generation."""

    KEYFRAME = 1  # self-contained, with the channel's name; no publication
    RENEWAL = 2  # the next keyframe, against the one before; no publication
    DELTA = 3  # a publication, against the keyframe
    KEPT = 4  # ... whose payload is the next keyframe
    SAME = 5  # a publication of the keyframe's own payload
    PLAIN = 6  # a publication as it is


class DeltaError(ValueError):
    """A message is not what the protocol says. What the decoder holds is of no use any more."""


class Publication(NamedTuple):
    """What a publication of ``wsgate.v1`` has, and whether its channel is of state or of events."""

    type: str
    channel: str
    seq: int
    prev: int
    data: bytes  # JSON, as it was published
    kind: str


class _Keyframe(NamedTuple):
    type: str
    channel: str
    kind: str
    generation: int
    seq: int
    payload: bytes


def squeeze(payload: bytes, dictionary: bytes) -> bytes:
    """Raw deflate of the payload, to its final block, that refers back into the dictionary."""
    # Not isal: it takes 2 µs less, once, and its deltas are a seventh larger, for every subscriber.
    stream = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=dictionary)
    return stream.compress(payload) + stream.flush()


class Decoder:
    """One connection's binary messages, in their order, into its publications."""

    def __init__(self, payload_bytes_max: int = PAYLOAD_BYTES_MAX) -> None:
        self._payload_bytes_max = payload_bytes_max
        self._held: dict[int, _Keyframe] = {}  # by channel number; who came first is first

    def __len__(self) -> int:
        """Of how many channels a keyframe is held."""
        return len(self._held)

    def decode(self, message: bytes) -> Publication | None:
        """The publication in a message; None if it only brings a keyframe. Raises DeltaError."""
        if not message:
            raise DeltaError("an empty message")
        generation = message[0] >> 3
        try:
            form = Form(message[0] & 7)
        except ValueError:
            raise DeltaError(f"no message begins with 0x{message[0]:02x}") from None
        number, at = _varint(message, 1)
        if number == 0:
            raise DeltaError("channels are numbered from 1")
        if form is Form.KEYFRAME:
            self._hold(number, self._keyframe(message, at, generation))
            return None
        held = self._held.get(number)
        if held is None:
            raise DeltaError(f"no keyframe of channel {number} is held")
        if held.generation != generation:
            raise DeltaError(f"keyframe {generation} of {held.channel}, not {held.generation}")
        difference, at = _varint(message, at)
        seq = _seq(held.seq + _unzigzag(difference))
        if form is Form.RENEWAL:
            payload = _inflated(message[at:], held.payload, KEYFRAME_BYTES_MAX)
            self._hold(number, _renewed(held, seq, payload))
            return None
        back, at = _varint(message, at)
        if back >= seq:
            raise DeltaError(f"{back} before {seq} there is nothing")
        if form is Form.PLAIN:
            payload = message[at:]
        elif form is Form.SAME:
            payload = held.payload
            if at != len(message):
                raise DeltaError("bytes behind the message's end")
        else:
            kept = form is Form.KEPT
            most = min(self._payload_bytes_max, KEYFRAME_BYTES_MAX if kept else NUMBER_MAX)
            payload = _inflated(message[at:], held.payload, most)
            if kept:
                self._hold(number, _renewed(held, seq, payload))
        if not payload or len(payload) > self._payload_bytes_max:
            raise DeltaError(f"a payload of {len(payload)} bytes")
        prev = seq - back if back else 0
        return Publication(held.type, held.channel, seq, prev, payload, held.kind)

    def _keyframe(self, message: bytes, at: int, generation: int) -> _Keyframe:
        seq, at = _varint(message, at)
        kind, at = _varint(message, at)
        if kind >= len(_KINDS):
            raise DeltaError(f"no kind of channel is {kind}")
        type, at = _word(message, at)
        channel, at = _word(message, at)
        payload = _inflated(message[at:], b"", KEYFRAME_BYTES_MAX)
        return _Keyframe(type, channel, _KINDS[kind], generation, _seq(seq), payload)

    def _hold(self, number: int, keyframe: _Keyframe) -> None:
        """Forgets who was there first, if there are too many; the gateway does the same."""
        before = self._held.get(number)
        if before is not None and before[:3] != keyframe[:3]:
            raise DeltaError(f"channel {number} is {before.channel}, not {keyframe.channel}")
        self._held[number] = keyframe  # one that was there keeps its place
        if len(self._held) > CHANNELS_HELD_MAX:
            del self._held[next(iter(self._held))]


def _renewed(held: _Keyframe, seq: int, payload: bytes) -> _Keyframe:
    generation = (held.generation + 1) % GENERATIONS
    return held._replace(generation=generation, seq=seq, payload=payload)


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Seven bits a byte, the least first, the high bit set in all but the last; and its end."""
    value = 0
    for place in range(VARINT_BYTES_MAX):
        if at == len(message):
            raise DeltaError("cut off within a number")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            if byte == 0 and place:
                raise DeltaError("a number with more bytes than it needs")
            if value > NUMBER_MAX:
                break
            return value, at
    raise DeltaError("a number without an end, or above 2^53 - 1")


def _unzigzag(value: int) -> int:
    return -(value // 2) - 1 if value % 2 else value // 2


def _seq(seq: int) -> int:
    if not 1 <= seq <= NUMBER_MAX:
        raise DeltaError(f"no seq is {seq}")
    return seq


def _word(message: bytes, at: int) -> tuple[str, int]:
    size, at = _varint(message, at)
    word = message[at : at + size]
    if len(word) != size or not size:
        raise DeltaError("cut off within a name")
    if not word.isascii():
        raise DeltaError("a name that is not ASCII")
    return word.decode("ascii"), at + size


def _inflated(data: bytes, dictionary: bytes, bytes_max: int) -> bytes:
    stream = zlib.decompressobj(-zlib.MAX_WBITS, zdict=dictionary)
    try:
        payload = stream.decompress(data, bytes_max + 1)
    except zlib.error as error:
        raise DeltaError(f"cannot be inflated: {error}") from None
    if len(payload) > bytes_max:
        raise DeltaError(f"inflates to more than {bytes_max} bytes")
    if not stream.eof or stream.unused_data:
        raise DeltaError("not one whole deflate stream")
    return payload
