"""Clients with a small receive buffer that subscribe, read nothing, and then catch up."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.fanout.child import Failure

TIMEOUT_S = 30
REQUEST = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@dataclass
class CaughtUp:
    """What a client got after it had read nothing for so long."""

    old_bytes: int = 0
    """Of frames that something newer follows, on the wire."""
    old: int = 0
    latest: int = 0
    """Channels of which the newest value came, once and as the last of its channel."""
    surplus: int = 0
    """Publications behind the newest of their channel: none may come."""


class Reader:
    """One client."""

    def __init__(self, port: int, receive_buffer: int, channels: Sequence[str]) -> None:
        self._socket = socket.socket()
        # Before connecting: the first window goes by it.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(TIMEOUT_S)
        self._socket.connect(("127.0.0.1", port))
        # Unbuffered: what is not asked for stays in the kernel.
        self._stream = self._socket.makefile("rb", buffering=0)
        self._channels = channels
        self._socket.sendall(REQUEST)
        if b" 101 " not in self._line():
            raise Failure("a slow client was not upgraded")
        while self._line().strip():
            pass
        self._say({"type": "subscribe", "channels": channels})
        reply = self._message()[0]
        if list(reply.get("channels", ())) != list(channels):
            raise Failure(f"a slow client was not subscribed: {str(reply)[:200]}")

    @property
    def port(self) -> int:
        port: int = self._socket.getsockname()[1]
        return port

    def close(self) -> None:
        self._stream.close()
        self._socket.close()

    def catch_up(self, newest: int) -> CaughtUp:
        """Read all that the gateway has for it; `newest` is the last number on every channel."""
        result = CaughtUp()
        seen: set[str] = set()
        while len(seen) < len(self._channels):
            self._count(*self._message(), newest, seen, result)
        # Twice, since replies overtake: behind the second answer nothing more can be owed.
        for turn in range(2):
            self._say({"type": "ping", "id": turn})
            while (message := self._message())[0]["type"] != "pong":
                self._count(*message, newest, seen, result)
        result.latest = len(seen)
        return result

    @staticmethod
    def _count(
        message: dict[str, Any], size: int, newest: int, seen: set[str], result: CaughtUp
    ) -> None:
        channel = message["channel"]
        if channel in seen:
            result.surplus += 1
        elif message["data"]["n"] == newest:
            seen.add(channel)
        else:
            result.old += 1
            result.old_bytes += size

    def _say(self, command: dict[str, Any]) -> None:
        text = json.dumps(command).encode()
        size = len(text)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[at & 3] for at, byte in enumerate(text))
        self._socket.sendall(b"\x81" + length + mask + masked)

    def _message(self) -> tuple[dict[str, Any], int]:
        """The next one, and the bytes of its frame."""
        head = self._exactly(2)
        extra = {126: 2, 127: 8}.get(head[1], 0)
        size = int.from_bytes(self._exactly(extra), "big") if extra else head[1]
        if head[0] == 0x89:  # PING: it is known to be slow, not dead
            self._exactly(size)
            return self._message()
        if head[0] != 0x81:
            raise Failure(f"a frame of a slow client begins with {head.hex()}")
        message: dict[str, Any] = json.loads(self._exactly(size))
        return message, 2 + extra + size

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._stream.read(size - len(data))
            if not part:
                raise Failure("the gateway cut a slow client off")
            data += part
        return data

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            line += self._exactly(1)
        return line
