"""A client's bytes after the upgrade, in pieces, while publications go on.

The first byte says in how many bytes they come, the second how often it reads: what is not read
backs up. Payloads of seeds are masked with 0, so that they can be read and mutated as they are.
"""

from __future__ import annotations

import asyncio

from tests.fuzz.inmemory import UPGRADE, Gateway
from tests.fuzz.tape import Tape, pieces
from tests.fuzz.timeless import run

WORDS = [
    b"\x81\x80\0\0\0\0", b"\x01\x80\0\0\0\0", b"\x80\x80\0\0\0\0", b"\x88\x82\0\0\0\0\x03\xe8",
    b"\x89\x80\0\0\0\0", b"\x8a\x80\0\0\0\0", b"\x82\x80\0\0\0\0", b"\x81\xfe", b"\x81\xff",
    b"\xc1", b"\xff\xff\xff\xff\xff\xff\xff\xff", b"\0\0\0\0\0\x01\0\0",
    b'{"type":"subscribe","channels":[', b'{"type":"ping"}', b'"token.*.update"',
    b'"token.a.comment"',
]  # fmt: skip


def fuzz(data: bytes) -> None:
    run(lambda: _fuzz(Tape(data)))


async def _fuzz(tape: Tape) -> None:
    size, patience = tape.number(255), tape.number(255)
    gateway = Gateway()
    try:
        client = gateway.connect()
        client.send(UPGRADE)
        for place, piece in enumerate(pieces(tape.rest(), size)):
            client.send(piece)
            gateway.hub.publish("token.a.update", b'{"price":%d}' % place)
            gateway.hub.publish("token.a.comment", b'"%d"' % place)
            await asyncio.sleep(0.001)
            if patience and place % patience == 0:
                client.read()
        await gateway.finish()
    finally:
        await gateway.stop()
