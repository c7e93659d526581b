"""Writes ``delta.json``: messages of ``wsgate.delta.v1`` and what they are, for any language.

    python -m tests.vectors

The file is what counts: zlib may some day deflate otherwise. Run this to add to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.delta import (
    KEYFRAME,
    deflated,
    delta,
    head,
    kept,
    keyframe,
    plain,
    publication,
    renewal,
    same,
    varint,
)

FILE = Path(__file__).with_name("delta.json")
A = b'{"price":"0.0123","name":"ABC","volume":123456}'
B = b'{"price":"0.0124","name":"ABC","volume":123510}'
C = b'{"price":"0.0131","name":"ABC","volume":124877}'
CHANNEL = {"type": "token_update", "channel": "token.abc.update", "kind": "state"}
LARGE = b'"' + b"0123456789abcdef" * 2000 + b'"'  # 32,002 bytes: nearly a whole window
FIRST = keyframe(1, 0, 41, A)

Step = tuple[bytes, dict[str, Any] | str | None]


def got(seq: int, prev: int, data: bytes, **channel: str) -> dict[str, Any]:
    return {**CHANNEL, **channel, "seq": seq, "prev": prev, "data": data.decode()}


def good() -> Iterator[tuple[str, list[Step]]]:
    yield (
        "a keyframe, its own publication, and deltas; one in between was conflated",
        [
            (FIRST, None),
            (same(1, 0, 0, 1), got(41, 40, A)),
            (delta(1, 0, 1, 1, B, A), got(42, 41, B)),
            (delta(1, 0, 4, 1, C, A), got(45, 44, C)),
        ],
    )
    yield (
        "a renewal with a publication, and deltas against it",
        [
            (FIRST, None),
            (kept(1, 0, 3, 1, B, A), got(44, 43, B)),
            (delta(1, 1, 1, 1, C, B), got(45, 44, C)),
            (same(1, 1, 2, 1), got(46, 45, B)),
        ],
    )
    yield (
        "a renewal that brings a keyframe only",
        [
            (FIRST, None),
            (renewal(1, 0, 5, B, A), None),
            (delta(1, 1, 2, 2, C, B), got(48, 46, C)),
        ],
    )
    yield (
        "a keyframe in place of another that was held, and one from before it",
        [
            (FIRST, None),
            (keyframe(1, 7, 60, B), None),
            (delta(1, 7, -2, 1, C, B), got(58, 57, C)),
            (keyframe(1, 3, 50, C), None),
            (same(1, 3, 0, 1), got(50, 49, C)),
        ],
    )
    yield (
        "generations are told apart modulo 32",
        [
            (keyframe(1, 31, 9, A), None),
            (kept(1, 31, 1, 1, B, A), got(10, 9, B)),
            (kept(1, 0, 1, 1, C, B), got(11, 10, C)),
            (same(1, 1, 0, 1), got(11, 10, C)),
        ],
    )
    yield (
        "events, a payload as it is, and a first publication without one before it",
        [
            (keyframe(300, 0, 1, b"1", "token.x.comment", "token_comment", "event"), None),
            (same(300, 0, 0, 0), got(1, 0, b"1", **event("token.x.comment"))),
            (plain(300, 0, 1, 1, b"2"), got(2, 1, b"2", **event("token.x.comment"))),
            (plain(300, 0, 2, 0, b'"x"'), got(3, 0, b'"x"', **event("token.x.comment"))),
        ],
    )
    yield (
        "an empty keyframe: the publications are too large to be one, or were",
        [
            (keyframe(2, 0, 7, b""), None),
            (delta(2, 0, 0, 0, B, b""), got(7, 0, B)),
        ],
    )
    yield (
        "the largest numbers",
        [
            (keyframe(2**53 - 1, 0, 2**53 - 1, A), None),
            (same(2**53 - 1, 0, 0, 2**53 - 2), got(2**53 - 1, 1, A)),
            (same(2**53 - 1, 0, -(2**52), 0), got(2**52 - 1, 0, A)),
            (keyframe(2**53 - 1, 1, 1, A), None),
            (same(2**53 - 1, 1, 2**52 - 1, 2**52 - 1), got(2**52, 1, A)),
        ],
    )
    yield (
        "a dictionary that is referred back into from end to end",
        [
            (keyframe(1, 0, 1, LARGE), None),
            (delta(1, 0, 1, 1, LARGE[:-2] + b'!"', LARGE), got(2, 1, LARGE[:-2] + b'!"')),
        ],
    )
    yield (
        "two channels",
        [
            (FIRST, None),
            (keyframe(2, 0, 5, C, "global.trending", "global_update"), None),
            (
                delta(2, 0, 1, 1, B, C),
                got(6, 5, B, channel="global.trending", type="global_update"),
            ),
            (delta(1, 0, 1, 1, B, A), got(42, 41, B)),
        ],
    )


def event(channel: str) -> dict[str, str]:
    return {"channel": channel, "type": "token_comment", "kind": "event"}


def bad() -> Iterator[tuple[str, list[bytes]]]:
    """The last message of each is an error, and none before it is."""
    yield "an empty message", [b""]
    yield "a form that is not there", [FIRST, b"\x00\x01\x00\x00"]
    yield "another form that is not there", [FIRST, b"\x07\x01\x00\x00"]
    yield "channel 0", [keyframe(0, 0, 41, A)]
    yield "no keyframe of the channel", [FIRST, same(2, 0, 0, 1)]
    yield "a keyframe of another generation", [FIRST, same(1, 1, 0, 1)]
    yield "a renewal without the keyframe before", [renewal(1, 0, 1, B, A)]
    yield "cut off after the first byte", [FIRST[:1]]
    yield "cut off within a number", [b"\x01\x80"]
    yield "cut off within the name", [FIRST[:12]]
    yield "cut off within the stream", [FIRST[:-1]]
    yield "a delta without a stream", [FIRST, publication(3, 1, 0, 1, 1, b"")]
    yield "bytes behind the stream", [FIRST, delta(1, 0, 1, 1, B, A) + b"\x00"]
    yield "bytes behind a SAME", [FIRST, same(1, 0, 0, 1) + b"\x00"]
    yield "no deflate at all", [FIRST, publication(3, 1, 0, 1, 1, b"\xff\xff\xff")]
    yield "a stream without its final block", [FIRST, publication(3, 1, 0, 1, 1, unfinished())]
    yield "a reference to before the dictionary", [keyframe(1, 0, 41, b"1"), farther()]
    yield "a number in more bytes than it needs", [b"\x01\x81\x00" + FIRST[2:]]
    yield "a number without an end", [b"\x01" + b"\x80" * 8 + b"\x01"]
    yield "a number above 2^53 - 1", [head(KEYFRAME, 0, 1) + varint(2**53) + FIRST[3:]]
    yield "a difference above 2^53 - 1", [FIRST, same(1, 0, 2**52, 1)]
    yield "seq 0", [keyframe(1, 0, 0, A)]
    yield "a seq below 1", [FIRST, same(1, 0, -41, 1)]
    yield "a seq above 2^53 - 1", [keyframe(1, 0, 2**53 - 1, A), same(1, 0, 1, 1)]
    yield "a prev below 1", [FIRST, same(1, 0, 0, 41)]
    yield "an unknown kind of channel", [FIRST[:3] + b"\x02" + FIRST[4:]]
    yield "a name that is not ASCII", [FIRST.replace(b"abc", b"ab\xff")]
    yield "an empty name", [keyframe(1, 0, 41, A, channel="")]
    yield "a channel's number with another name", [FIRST, keyframe(1, 1, 42, B, "token.x.update")]
    yield "an empty publication", [FIRST, plain(1, 0, 1, 1, b"")]
    yield "an empty publication, deflated", [FIRST, delta(1, 0, 1, 1, b"", A)]
    yield "an empty keyframe as a publication", [keyframe(2, 0, 7, b""), same(2, 0, 0, 1)]
    yield "a keyframe that is too large", [keyframe(1, 0, 41, bytes(32_769))]
    yield "a kept one that is too large", [FIRST, kept(1, 0, 1, 1, bytes(32_769), A)]
    yield "a bomb", [FIRST, delta(1, 0, 1, 1, bytes(2_000_000), A)]


def unfinished() -> bytes:
    """Deflated, but the block is not marked as the last one."""
    stored = b"\x00" + len(B).to_bytes(2, "little") + (len(B) ^ 0xFFFF).to_bytes(2, "little")
    return stored + B


def farther() -> bytes:
    """Refers back 47 bytes into a dictionary of one."""
    return publication(3, 1, 0, 1, 1, deflated(A, A))


PAYLOAD_BYTES_MAX = 1_000_000


def main() -> None:
    streams = [
        {
            "name": name,
            "messages": [
                {"hex": message.hex(), "publication": publication} for message, publication in steps
            ],
        }
        for name, steps in good()
    ]
    for name, messages in bad():
        listed: list[dict[str, Any]] = [{"hex": message.hex()} for message in messages]
        listed[-1]["error"] = True
        if name == "bytes behind the stream":
            listed[-1]["optional"] = True
        streams.append({"name": name, "messages": listed})
    about = {
        "of": "wsgate.delta.v1, see docs/protocol.md",
        "streams": "each is for a decoder of its own; an error is the last of its stream",
        "optional": "an error that an inflater need not notice, if it stops at the final block",
        "publication": "what a message is; null: a keyframe that is none; absent: not compared",
    }
    text = {"about": about, "payload_bytes_max": PAYLOAD_BYTES_MAX, "streams": streams}
    FILE.write_text(json.dumps(text, indent=1) + "\n")


if __name__ == "__main__":
    main()
