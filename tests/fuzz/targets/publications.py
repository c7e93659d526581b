"""What a source hands over, a line each, "subject payload": published whole, or refused.

Subjects come as NATS has them, decoded; a client is subscribed to everything that may be.
"""

from __future__ import annotations

import json

from tests.core import rfc6455
from tests.fuzz.alone import alone
from tests.fuzz.inmemory import LIMITS
from tests.fuzz.timeless import run
from wsgate.flush import now_ms
from wsgate.protocol import is_channel
from wsgate.rules import DEFAULT_RULES

WORDS = [
    b"token.a.update ", b"token.b.update ", b"token.a.comment ", b"global.trending ",
    b"global.x.y ",
    b"token.a.update.x ", b"token..update ", b"token.*.update ", b"global.> ", b"\n", b" ", b"{}",
    b'{"price":1.25}', b"[]", b'""', b"null", b"-0", b"1e400", b"NaN", b"\xff", b"\xef\xbb\xbf",
    b"\\u0000", b"\\ud800", b"[[[[[[[[", b"\r", b"\t", b"\0",
]  # fmt: skip
LINES_MAX = 64


def fuzz(data: bytes) -> None:
    run(lambda: _fuzz(data))


async def _fuzz(data: bytes) -> None:
    async with alone() as (hub, client, stream):
        for pattern in ("token.*.update", "token.*.comment", "global.>"):
            hub.core.subscribe_pattern(client.handle, pattern, 0)
        for line in data.split(b"\n")[:LINES_MAX]:
            raw, _, payload = line.partition(b" ")
            subject = raw.decode(errors="replace")
            published = hub.publish(subject, payload)
            while hub.core.flush(now_ms(), 100):
                pass
            frames = rfc6455.parse(bytes(stream))
            stream.clear()
            assert len(frames) == published, frames
            assert hub.core.channels.count <= LIMITS.channels_max
            if published:
                assert is_channel(subject) and DEFAULT_RULES.match(subject) is not None
                _check_whole(frames[0].payload, subject, payload)


def _check_whole(message: bytes, subject: str, payload: bytes) -> None:
    """The payload stands in the message as it was, and a reader of the message finds no other."""
    assert message.endswith(b',"data":' + payload + b"}")
    envelope = json.loads(message[: -len(payload) - 1] + b"null}")
    assert list(envelope) == ["type", "channel", "seq", "prev", "data"]
    assert envelope["channel"] == subject
    try:
        json.loads(payload)
    except RecursionError:
        pass  # of this reader; deep nesting is a matter between backend and browser
