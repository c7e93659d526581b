"""What arrives on the clients' port before the upgrade: HTTP, or anything, in pieces."""

from __future__ import annotations

import asyncio

from tests.fuzz.inmemory import Gateway
from tests.fuzz.tape import Tape, pieces
from tests.fuzz.timeless import run

WORDS = [
    b"GET /", b"GET /healthz HTTP/1.1\r\n", b"GET /readyz HTTP/1.1\r\n", b" HTTP/1.1\r\n",
    b"HEAD /", b"HEAD /readyz HTTP/1.1\r\n", b"GET /healthz HTTP/1.0\r\n", b" HTTP/1.0\r\n",
    b"\r\n\r\n",
    b"\r\nHost: a", b"\r\nUpgrade: websocket", b"\r\nConnection: Upgrade",
    b"\r\nConnection: keep-alive, Upgrade", b"\r\nSec-WebSocket-Version: 13",
    b"\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==", b"\r\nSec-WebSocket-Protocol: wsgate.v1",
    b"wsgate.auth.", b"wsgate.delta.v1",
    b"\r\nSec-WebSocket-Extensions: permessage-deflate", b"\r\nContent-Length: 1",
    b"\r\nTransfer-Encoding: chunked", b"?auth=", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01",
    b"\x81\x80\0\0\0\0",
]  # fmt: skip


def fuzz(data: bytes) -> None:
    run(lambda: _fuzz(Tape(data)))


async def _fuzz(tape: Tape) -> None:
    size = tape.number(255)
    gateway = Gateway()
    try:
        client = gateway.connect()
        for piece in pieces(tape.rest(), size):
            client.send(piece)
            await asyncio.sleep(0.001)
            client.read()
        await gateway.finish()
    finally:
        await gateway.stop()
