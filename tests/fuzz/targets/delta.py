"""Binary messages for the decoder of wsgate.delta.v1: publications within the limit, or its error.

The first byte says how large a payload may be; then come messages, each after its length in two
bytes. A decoder is of no use after an error, but who goes on all the same harms nobody.
"""

from __future__ import annotations

from tests.fuzz.tape import Tape
from wsgate.delta import CHANNELS_HELD_MAX, Decoder, DeltaError

WORDS = [
    b"\x01\x01\x01\x00\x01a\x01b\x03\x00", b"\x05\x01\x00\x00", b"\x06\x01\x02\x011", b"\x03\x00",
    b"\x02\x01\x02", b"\x03\x01\x02\x01", b"\x04\x01\x02\x01", b"\xff\xff\xff\xff\xff\xff\xff\x0f",
    b"\x33\x04\x00", b"\x80\x00", b"\x00\x0b",
]  # fmt: skip
MESSAGES_MAX = 200


def fuzz(data: bytes) -> None:
    tape = Tape(data)
    payload_bytes_max = 1 + 64 * tape.number(255)
    decoder = Decoder(payload_bytes_max)
    for _ in range(MESSAGES_MAX):
        if not tape:
            return
        message = tape.bytes(tape.number(65_535))
        try:
            found = decoder.decode(message)
        except DeltaError as error:
            assert str(error)
            continue
        assert len(decoder) <= CHANNELS_HELD_MAX
        if found is not None:
            assert 0 < len(found.data) <= payload_bytes_max
            assert 0 <= found.prev < found.seq < 2**53
            assert found.type and found.channel and found.kind in ("state", "event")
