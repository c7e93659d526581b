"""A client's side of permessage-deflate: messages compressed as RFC 7692 says, or not quite."""

from __future__ import annotations

import zlib

from tests.support.client import UPGRADE, Client, request
from tests.support.frames import TEXT, frame
from tests.support.gateway import LocalGateway

RSV1 = 4
RSV2 = 2
SYNC_TAIL = b"\x00\x00\xff\xff"


def deflated(message: bytes, *, level: int = 6, window_bits: int = 15) -> bytes:
    """A payload with the message in it."""
    stream = zlib.compressobj(level, zlib.DEFLATED, -window_bits)
    return (stream.compress(message) + stream.flush(zlib.Z_SYNC_FLUSH)).removesuffix(SYNC_TAIL)


def compressed(message: bytes, opcode: int = TEXT) -> bytes:
    """A frame with the message in it."""
    return frame(opcode, deflated(message), reserved=RSV1)


async def connect_deflating(gateway: LocalGateway) -> Client:
    """A client that agreed on permessage-deflate with the gateway."""
    client = await gateway.dial()
    offer = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
    answer = await client.ask(request(headers=UPGRADE | offer))
    assert answer.status == 101
    agreed = answer.headers["sec-websocket-extensions"]
    assert "client_no_context_takeover" in agreed
    return client
