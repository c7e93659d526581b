"""WebSocket clients of the slow-client benchmark: good readers, and some that stop to read."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from typing import Any, cast

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def command(message: dict[str, Any]) -> bytes:
    """A masked text frame; the mask is zero, so that the payload is the payload."""
    payload = json.dumps(message).encode()
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return b"\x81" + length + bytes(4) + payload


class Frames:
    """Takes a server's stream apart into payloads of text frames."""

    def __init__(self) -> None:
        self._rest = b""
        self._upgraded = False

    def feed(self, data: bytes) -> list[bytes]:
        rest = self._rest + data
        if not self._upgraded:
            head, end, rest = rest.partition(b"\r\n\r\n")
            if not end:
                self._rest = head
                return []
            assert head.startswith(b"HTTP/1.1 101"), head
            self._upgraded = True
        messages, at = [], 0
        while len(rest) - at >= 2:
            size, start = rest[at + 1], at + 2
            if size == 126:
                size, start = int.from_bytes(rest[at + 2 : at + 4], "big"), at + 4
            elif size == 127:
                size, start = int.from_bytes(rest[at + 2 : at + 10], "big"), at + 10
            if len(rest) < start + size:
                break
            assert rest[at] in (0x81, 0x89), f"frame begins with {rest[at]:#x}"
            if rest[at] == 0x81:
                messages.append(rest[start : start + size])
            at = start + size
        self._rest = rest[at:]
        return messages


class Reader(asyncio.Protocol):
    """A good client on one event channel: counts holes and notes how old each message is."""

    def __init__(self, channel: str) -> None:
        self._frames = Frames()
        self._channel = channel
        self.subscribed = asyncio.get_running_loop().create_future()
        self.ages_ms: list[float] = []
        self.last = -1
        self.faults = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(
            HANDSHAKE + command({"type": "subscribe", "channels": [self._channel]})
        )

    def connection_lost(self, error: Exception | None) -> None:
        self.faults += 1

    def data_received(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        for payload in self._frames.feed(data):
            message = json.loads(payload)
            if message["type"] == "subscribed":
                self.subscribed.set_result(None)
            elif "data" in message:
                number = message["data"]["n"]
                if self.last >= 0 and number != self.last + 1:
                    self.faults += 1
                self.last = number
                self.ages_ms.append((now_ns - message["data"]["t"]) / 1e6)
            else:
                self.faults += message["type"] == "gap"


class Sleeper:
    """A client that subscribes and then reads nothing until it is told to."""

    def __init__(self, port: int, channels: list[str], receive_buffer: int) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(20)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(HANDSHAKE + command({"type": "subscribe", "channels": channels}))
        self.frames = Frames()
        while not self.frames.feed(self.socket.recv(65536)):
            pass

    @property
    def own_port(self) -> int:
        return int(self.socket.getsockname()[1])

    def read_until_latest(self, latest: dict[str, int]) -> int:
        """Read on until every channel's value is `latest`; how many bytes were of older values.

        Raises TimeoutError if that never comes, AssertionError if a value goes back.
        """
        seen: dict[str, int] = {}
        old_bytes = 0
        while seen != latest:
            for payload in self.frames.feed(self.socket.recv(1 << 20)):
                message = json.loads(payload)
                channel, number = message["channel"], message["data"]["n"]
                assert number > seen.get(channel, -1), f"{channel} went back to {number}"
                seen[channel] = number
                if number != latest[channel]:
                    old_bytes += len(payload)
        return old_bytes
