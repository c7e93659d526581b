"""docs/protocol.md: what a client may send wrong. Each row of its table, over a real socket."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
import structlog
from structlog.testing import LogCapture

from tests.support.deflate import RSV1, compressed, connect_deflating, deflated
from tests.support.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close_frame, frame
from tests.support.gateway import local_gateway
from tests.support.loop import on_loop
from wsgate import hub
from wsgate.metrics.collector import registry
from wsgate.protocol import CloseCode

DOCUMENT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
CONTROL = (PING, PONG, CLOSE)

# Without permessage-deflate; those that need it are below.
PLAIN = {
    "a frame that is not masked": [frame(TEXT, b"{}", masked=False), frame(PING, masked=False)],
    "an opcode from 3 to 7 or from 11 to 15": [
        frame(code) for code in (*range(3, 8), *range(11, 16))
    ],
    "RSV2 or RSV3 set": [frame(TEXT, b"{}", reserved=bits) for bits in (1, 2, 3)],
    "RSV1 set, and no permessage-deflate agreed on": [compressed(b"{}")],
    "PING, PONG or CLOSE in fragments": [frame(code, fin=False) for code in CONTROL],
    "PING, PONG or CLOSE with more than 125 bytes": [
        frame(code, b"\x03\xe8" + b"x" * 124) for code in CONTROL
    ],
    "a length below 126 in two bytes": [frame(TEXT, b"x" * 125, length_bytes=2)],
    "a length below 65536 in eight bytes, or from 2^63 on": [
        frame(TEXT, b"x" * 65535, length_bytes=8),
        b"\x81\xff" + (1 << 63).to_bytes(8, "big"),
    ],
    "a continuation of nothing": [frame(CONTINUATION, b"{}"), frame(CONTINUATION, fin=False)],
    "a message before the fragmented one has ended": [
        frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"),
        frame(TEXT, b"{", fin=False) + frame(BINARY, b"}"),
    ],
    "CLOSE with one byte": [frame(CLOSE, b"\x03")],
    "CLOSE with 0, 1006, or 5000 and above": [close_frame(code) for code in (0, 1006, 5000, 65535)],
    "CLOSE with another code that RFC 6455 forbids, as 999, 1005 or 2999": [
        close_frame(code) for code in (1, 999, 1004, 1005, 1015, 1016, 2000, 2999)
    ],
    "CLOSE whose reason is not UTF-8": [close_frame(1000, b"\xff"), close_frame(1000, b"\xe2\x82")],
    "a binary message": [frame(BINARY), frame(BINARY, fin=False)],
    "text that is not UTF-8, told with the fragment that has the fault": [
        frame(TEXT, b"\xff"),
        frame(TEXT, b"\xe2\x82"),
        frame(TEXT, b"\xe2", fin=False) + frame(CONTINUATION, b"\x28", fin=False),
    ],
    "a frame with more than 65536 bytes": [b"\x81\xff" + (65537).to_bytes(8, "big")],
    "fragments with more than 65536 bytes together, or more than 64 of them": [
        frame(TEXT, b" " * 65536, fin=False) + frame(CONTINUATION, b" ", fin=False),
        frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) * 64,
    ],
}
DEFLATING = {
    "RSV1 set on a continuation, or on PING, PONG or CLOSE": [
        frame(TEXT, b"\x00", fin=False) + frame(CONTINUATION, reserved=RSV1),
        *(frame(code, reserved=RSV1) for code in CONTROL),
    ],
    "a compressed message that is not one whole deflate stream": [
        frame(TEXT, deflated(b"{}" * 20)[:-3], reserved=RSV1),
        frame(TEXT, b"\xff\xff\xff", reserved=RSV1),
        frame(TEXT, deflated(b"{}") + b"\x00\x00\xff\xff", reserved=RSV1),
    ],
    "a compressed message with more than 65536 bytes inside": [compressed(b" " * 65537)],
}


def rows() -> dict[str, tuple[int, str, str]]:
    """Input -> close code, reason in the log, reason in the metric."""
    section = DOCUMENT.partition("\n## What a client may send wrong\n")[2].partition("\n## ")[0]
    found = re.findall(r"^\| (.+?) \| (\d+) \| `(.+?)` \| `(.+?)` \|$", section, re.MULTILINE)
    return {input: (int(code), logged, counted) for input, code, logged, counted in found}


def test_every_row_has_its_input() -> None:
    assert set(rows()) == set(PLAIN) | set(DEFLATING)


@pytest.mark.parametrize(
    ("input", "data"),
    [
        pytest.param(input, data, id=f"{input}-{number}")
        for input, inputs in (PLAIN | DEFLATING).items()
        for number, data in enumerate(inputs)
    ],
)
@on_loop
async def test_what_comes_of_it(input: str, data: bytes) -> None:
    code, logged, counted = rows()[input]
    with pytest.MonkeyPatch.context() as patch:
        lines = LogCapture()
        level = structlog.make_filtering_bound_logger(logging.DEBUG)
        logger = structlog.wrap_logger(None, processors=[lines], wrapper_class=level)
        patch.setattr(hub, "log", logger)
        async with local_gateway(ws_deflate=True) as gateway:
            client = await (connect_deflating(gateway) if input in DEFLATING else gateway.connect())
            await client.send(data)
            received, close = await client.until_close()
            assert received == []
            assert (close.close_code, close.close_reason) == (code, CloseCode(code).reason)  # type: ignore[call-arg]
            client.close()
            await gateway.until_empty()
            totals = registry(gateway.app)
            name = "ws_connections_closed_total"
            assert totals.get_sample_value(name, {"reason": counted}) == 1
    [line] = [line for line in lines.entries if line["event"] == "client failed"]
    assert (line["log_level"], line["code"]) == ("debug", code)
    if logged.endswith("..."):
        assert line["reason"].startswith(logged.removesuffix("..."))
    else:
        assert line["reason"] == logged
