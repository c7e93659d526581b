"""What hostile clients send: one coroutine for each kind, on a connection of its own.

Each ends by itself: when the gateway ends the connection, or when it has done its worst.
"""

from __future__ import annotations

import asyncio
import json
import random
import struct
import time
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache

import jwt

TEXT, BINARY, CLOSE, PING = 0x1, 0x2, 0x8, 0x9
PATIENCE_S = 3.0
MASK = b"\x37\xfa\x21\x3d"
UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@dataclass(frozen=True)
class Gateway:
    port: int
    token: str


class Line:
    """A connection, as badly treated as an attack likes."""

    def __init__(
        self, gateway: Gateway, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.gateway = gateway
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        if self.writer.is_closing():
            raise ConnectionResetError
        self.writer.write(data)
        await self.writer.drain()
        await asyncio.sleep(0)  # draining alone lets nobody else have a turn

    async def upgrade(self, extra: str = "", query: str | None = None) -> None:
        """As a good client does it."""
        query = f"?auth={self.gateway.token}" if query is None else query
        await self.send(f"GET /{query} HTTP/1.1\r\nHost: x\r\n{UPGRADE}{extra}\r\n".encode())
        await self.reader.readuntil(b"\r\n\r\n")

    async def until_end(self) -> None:
        """Read whatever comes, until the gateway has had enough or patience ends."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.reader.read(65536):
                pass


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0, masked: bool = True
) -> bytes:
    size = len(payload)
    head = bytes([(0x80 if fin else 0) | reserved << 4 | opcode])
    bit = 0x80 if masked else 0
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += struct.pack("!BH", bit | 126, size)
    else:
        head += struct.pack("!BQ", bit | 127, size)
    if not masked:
        return head + payload
    key = int.from_bytes((MASK * (size // 4 + 1))[:size], "big")
    return head + MASK + (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")


def command(**fields: object) -> bytes:
    return frame(TEXT, json.dumps(fields).encode())


# ------------------------------------------------------------------------------ before the upgrade


async def slow_handshake(line: Line) -> None:
    for byte in b"GET / HTTP/1.1\r\nHost: " + b"x" * 100:
        await line.send(bytes([byte]))
        await asyncio.sleep(0.1)


async def headers_without_end(line: Line) -> None:
    await line.send(b"GET / HTTP/1.1\r\n")
    for number in range(10_000):
        await line.send(b"X-%d: %s\r\n" % (number, b"x" * 200))


async def smuggled_request(line: Line) -> None:
    await line.send(
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    )
    await line.until_end()


async def folded_headers(line: Line) -> None:
    await line.send(f"GET / HTTP/1.1\r\nHost: x\r\n{UPGRADE}X-Folded: a\r\n b\r\n\r\n".encode())
    await line.until_end()


async def wrong_origin(line: Line) -> None:
    await line.send(
        f"GET / HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\n{UPGRADE}\r\n".encode()
    )
    await line.until_end()


async def forged_addresses(line: Line) -> None:
    await line.send(b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n")
    await line.upgrade("X-Forwarded-For: 127.0.0.1, 10.0.0.1\r\n")
    await line.until_end()


# ---------------------------------------------------------------------------------------- tokens


@cache
def _expired() -> str:
    return jwt.encode({"sub": "x", "exp": int(time.time()) - 1000}, "k" * 40, "HS256")


async def expired_token(line: Line) -> None:
    await line.upgrade(query=f"?auth={_expired()}")
    await line.until_end()


async def unsigned_token(line: Line) -> None:
    token = jwt.encode({"sub": "x"}, None, "none")
    await line.upgrade(query=f"?auth={token}")
    await line.until_end()


async def tokens_by_the_dozen(line: Line) -> None:
    await line.upgrade(query="")
    for number in range(1000):
        await line.send(command(type="auth", token=f"{number}." * 1000))


# ------------------------------------------------------------------------------------------ frames


def wrong_frame(data: bytes) -> Callable[[Line], Awaitable[None]]:
    async def attack(line: Line) -> None:
        await line.upgrade()
        await line.send(data)
        await line.until_end()

    return attack


async def tiny_fragments(line: Line) -> None:
    await line.upgrade()
    await line.send(frame(TEXT, b"{", fin=False))
    for _ in range(100_000):
        await line.send(frame(0, b" ", fin=False))


@cache
def _bomb() -> bytes:
    """40 MB in 40 KB."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = stream.compress(bytes(40_000_000)) + stream.flush(zlib.Z_SYNC_FLUSH)
    return frame(TEXT, packed[:-4], reserved=4)


async def compression_bomb(line: Line) -> None:
    await line.upgrade("Sec-WebSocket-Extensions: permessage-deflate\r\n")
    await line.send(_bomb())
    await line.until_end()


async def ping_flood(line: Line) -> None:
    await line.upgrade()
    for _ in range(2_000):
        await line.send(frame(PING, b"x" * 125) * 50)


async def data_after_close(line: Line) -> None:
    await line.upgrade()
    await line.send(frame(CLOSE, b"\x03\xe8") + command(type="ping") * 1000)
    await line.until_end()


# ---------------------------------------------------------------------------------------- commands


async def subscription_flood(line: Line) -> None:
    await line.upgrade()
    for number in range(100_000):
        await line.send(command(type="subscribe", channels=[f"token.{number % 7}.update"]))


async def names_without_end(line: Line) -> None:
    await line.upgrade()
    salt = random.randrange(1 << 60)
    for number in range(1000):
        names = [f"token.{salt}-{number}-{part}.comment" for part in range(900)]
        await line.send(command(type="subscribe", channels=names))


async def patterns_without_end(line: Line) -> None:
    await line.upgrade()
    for _ in range(10_000):
        await line.send(command(type="subscribe", channels=["token.*.update", "token.*.comment"]))
        await line.send(command(type="unsubscribe", channels=["token.*.update", "token.*.comment"]))


async def long_names(line: Line) -> None:
    await line.upgrade()
    for _ in range(1000):
        await line.send(command(type="subscribe", channels=["x" * 30_000, "token." + "a." * 9_000]))


@cache
def _deep() -> bytes:
    return frame(TEXT, b"[" * 60_000)


async def deep_json(line: Line) -> None:
    await line.upgrade()
    for _ in range(1000):
        await line.send(_deep())


async def never_reads(line: Line) -> None:
    await line.upgrade()
    await line.send(command(type="subscribe", channels=["token.*.comment", "token.*.update"]))
    await asyncio.sleep(PATIENCE_S)


ATTACKS: dict[str, Callable[[Line], Awaitable[None]]] = {
    one.__name__: one
    for one in (
        slow_handshake,
        headers_without_end,
        smuggled_request,
        folded_headers,
        wrong_origin,
        forged_addresses,
        expired_token,
        unsigned_token,
        tokens_by_the_dozen,
        tiny_fragments,
        compression_bomb,
        ping_flood,
        data_after_close,
        subscription_flood,
        names_without_end,
        patterns_without_end,
        long_names,
        deep_json,
        never_reads,
    )
} | {
    "unmasked": wrong_frame(frame(TEXT, b"{}", masked=False)),
    "reserved_bits": wrong_frame(frame(TEXT, b"{}", reserved=7)),
    "bad_opcode": wrong_frame(frame(0x5, b"{}")),
    "fragmented_control": wrong_frame(frame(PING, b"x", fin=False)),
    "long_control": wrong_frame(frame(PING, b"x" * 126)),
    "long_form_of_a_short_length": wrong_frame(b"\x81\xfe\x00\x01" + MASK + b"x"),
    "length_of_2_to_the_63": wrong_frame(b"\x81\xff" + b"\x80" + bytes(7) + MASK),
    "no_utf8": wrong_frame(frame(TEXT, b"\xff\xfe")),
    "bad_close_code": wrong_frame(frame(CLOSE, b"\x03\xed")),
    "binary": wrong_frame(frame(BINARY, b"x" * 1000)),
}
