"""Encoding a publication: one allocation and one copy of the payload."""

from __future__ import annotations

import pytest

from benchmarks.micro.meter import Meter
from wsgate.core.frame import Frame

FRAMES = 1_000


@pytest.mark.parametrize("payload_bytes", [100, 500, 5_000])
def test_encode(meter: Meter, payload_bytes: int) -> None:
    payload = b'"' + b"x" * (payload_bytes - 2) + b'"'

    def encode() -> Frame:
        for seq in range(1, FRAMES + 1):
            frame = Frame.publication("token_update", "token.abc.update", seq, seq - 1, payload)
        return frame

    assert bytes(encode()).endswith(payload + b"}")
    ns = meter.time(encode, rounds=50)
    meter.note(
        "frame: encode",
        payload_bytes,
        "payload bytes",
        ns_per_operation=(
            ns / FRAMES,
            "a frame from Python, and its head in JSON, which the core makes once a channel",
        ),
    )
