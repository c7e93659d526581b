"""Messages of one client, a line each: whatever they say, each has one answer."""

from __future__ import annotations

import json

from tests.core import rfc6455
from tests.fuzz.alone import alone
from tests.fuzz.inmemory import LIMITS
from tests.fuzz.timeless import run

WORDS = [
    b'{"type":"subscribe","channels":[', b'{"type":"unsubscribe","channels":[', b'{"type":"ping"',
    b'{"type":"auth","token":"', b'{"type":"pause"}', b'{"type":"resume"}', b'"id":',
    b'"max_rate":',
    b'"recover":{',
    b'"epoch":', b'"seq":', b'"token.a.update"', b'"token.*.update"', b'"global.>"',
    b'"token.>"', b'"*"', b'">"', b'"a..b"', b"null", b"true", b"1e308", b"9007199254740993",
    b"\\ud800", b"\\u0000", b"[[[[[[[[", b"\n",
]  # fmt: skip
LINES_MAX = 64
REPLIES = {"subscribed", "unsubscribed", "pong", "paused", "resumed", "error"}


def fuzz(data: bytes) -> None:
    run(lambda: _fuzz(data))


async def _fuzz(data: bytes) -> None:
    async with alone() as (hub, client, stream):
        for line in data.split(b"\n")[:LINES_MAX]:
            if client.end_reason is not None:
                break
            try:
                line.decode()
            except UnicodeDecodeError:
                continue  # the edge sees to that
            sent = len(stream)
            hub.received(client, line)
            hub.core.check()
            hub.core.delivery.flush_urgent(100)
            answer = bytes(stream)[sent:]
            messages = [json.loads(f.payload) for f in rfc6455.parse(answer) if f.opcode == 1]
            (reply,) = messages
            assert reply["type"] in REPLIES, reply
            assert hub.core.subscription_count(client.handle) <= LIMITS.subscriptions_max
