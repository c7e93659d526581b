"""A client that compresses, in any way and in any pieces, well and badly, while publications go on.

The first byte says in how many bytes it all comes. What is sent well is heard word for word, up to
the first thing that is not; what is sent back is compressed as was agreed.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from dataclasses import replace

from tests.fuzz.inmemory import LIMITS, Client, Gateway, upgrade
from tests.fuzz.tape import Tape, pieces
from tests.fuzz.timeless import run
from tests.support.deflate import RSV1, deflated
from tests.support.frames import BINARY, CONTINUATION, PING, PONG, TEXT, frame
from wsgate.hub import Connection
from wsgate.protocol import COMMAND_BYTES_MAX

OFFERS = [
    b"permessage-deflate",
    b"permessage-deflate; client_max_window_bits",
    b"permessage-deflate; server_max_window_bits=8",
    b"permessage-deflate; server_max_window_bits=10; client_no_context_takeover",
]
COMMANDS = [
    b'{"type":"ping"}',
    b'{"type":"subscribe","channels":["token.*.update","token.*.comment"]}',
    b'{"type":"subscribe","channels":["global.>"],"max_rate":100}',
    b'{"type":"unsubscribe","channels":["token.*.comment"]}',
]
PADDING = [0, 1, 120, 4000, 60_000, COMMAND_BYTES_MAX]
STEPS_MAX = 100


def fuzz(data: bytes) -> None:
    run(lambda: _fuzz(Tape(data)))


class _Ear:
    """What the hub is handed."""

    def __init__(self, gateway: Gateway) -> None:
        self.messages: list[bytes] = []
        self._received = gateway.hub.received
        gateway.hub.received = self.received  # type: ignore[method-assign]

    def received(self, connection: Connection, message: bytes) -> None:
        self.messages.append(message)
        self._received(connection, message)


async def _fuzz(tape: Tape) -> None:
    size = tape.number(255)
    gateway = Gateway(replace(LIMITS, pings_per_s=None))  # pings are only what comes in between
    ear = _Ear(gateway)
    try:
        client = gateway.connect()
        client.send(upgrade(b"/", b"Sec-WebSocket-Extensions: " + tape.one_of(OFFERS)))
        client.read()
        assert b"permessage-deflate" in client.received
        said: list[bytes] = []
        good = True
        for place in range(STEPS_MAX):
            if not tape or not client.open:
                break
            if tape.number(7) < 6:
                message = tape.one_of(COMMANDS).ljust(tape.one_of(PADDING))
                _send(client, size, _well(tape, message))
                if good:
                    said.append(message)
            else:
                good = False
                _send(client, size, _badly(tape))
            payload = json.dumps(f"{place} " * tape.number(300)).encode()
            gateway.hub.publish(tape.one_of(["token.a.update", "token.a.comment"]), payload)
            await asyncio.sleep(0.001)
            if tape.number(3):
                client.read()
        assert ear.messages[: len(said)] == said
        assert not good or len(ear.messages) == len(said)
        await gateway.finish()
    finally:
        await gateway.stop()


def _send(client: Client, size: int, data: bytes) -> None:
    # Many pieces of what is mostly padding take long, and tell nothing new.
    for piece in pieces(data, size if len(data) <= 4096 else 0):
        client.send(piece)


def _well(tape: Tape, message: bytes) -> bytes:
    """The message in frames, with what may come between them."""
    reserved = 0
    if tape.number(3):
        reserved = RSV1
        level, window_bits = 1 + tape.number(8), 9 + tape.number(6)
        message = deflated(message, level=level, window_bits=window_bits)
    opcode, frames = TEXT, b""
    for _ in range(tape.number(2)):
        cut = tape.number(len(message))
        frames += frame(opcode, message[:cut], reserved=reserved, fin=False)
        frames += tape.one_of([b"", frame(PING, b"a"), frame(PONG, b"b")])
        opcode, reserved, message = CONTINUATION, 0, message[cut:]
    return frames + frame(opcode, message, reserved=reserved)


def _badly(tape: Tape) -> bytes:
    message = tape.bytes(tape.number(100))
    if tape.number(1):
        stream = zlib.compressobj(wbits=-15)
        message = stream.compress(message * tape.one_of([1, 1000])) + stream.flush()
    return frame(
        tape.one_of([TEXT, BINARY, CONTINUATION, PING]),
        message,
        reserved=tape.one_of([RSV1, RSV1, RSV1, 7, 2, 0]),
        fin=bool(tape.number(1)),
    )
