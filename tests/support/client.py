"""A raw WebSocket client: it may be hostile, slow or rude, and looks at every byte it gets."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Mapping
from typing import NamedTuple

from tests.support.conversation import Conversation
from tests.support.frames import CLOSE, TEXT, Frame, FrameReader, close_frame, frame

READ_BYTES = 65536

# The example of RFC 6455 1.3.
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

UPGRADE = {
    "Host": "gateway.test",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}


class Ended(Exception):
    """The gateway closed the socket."""


class Answer(NamedTuple):
    """An HTTP response; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def request(path: str = "/", headers: Mapping[str, str] = UPGRADE) -> bytes:
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Client(Conversation):
    """Use ``dial`` for a bare connection, ``connect`` for an upgraded one."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader()
        self._unread = b""
        self.reset = False
        """Whether it ended with RST instead of FIN."""

    @classmethod
    async def dial(cls, port: int, *, receive_buffer: int | None = None) -> Client:
        """Connect, and say nothing."""
        dialled = socket.socket()
        try:
            if receive_buffer is not None:
                # Before connecting: it decides on the window.
                dialled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            dialled.setblocking(False)
            await asyncio.get_running_loop().sock_connect(dialled, ("127.0.0.1", port))
        except BaseException:
            dialled.close()
            raise
        return cls(dialled)

    @classmethod
    async def connect(cls, port: int, *, receive_buffer: int | None = None) -> Client:
        """Connect, and upgrade as browsers do."""
        client = await cls.dial(port, receive_buffer=receive_buffer)
        answer = await client.ask(request())
        assert answer.status == 101, answer
        assert answer.headers["sec-websocket-accept"] == ACCEPT
        return client

    def close(self) -> None:
        self.socket.close()

    def cut(self) -> None:
        """Leave with RST, whatever is under way in either direction."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    # bytes

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self.socket, data)

    async def read(self, most: int = READ_BYTES) -> bytes:
        """What has come, at least a byte of it; Ended if nothing ever will."""
        try:
            data = await self._loop.sock_recv(self.socket, most)
        except ConnectionResetError:
            self.reset = True
            data = b""
        if not data:
            raise Ended
        return data

    # HTTP

    async def ask(self, text: bytes) -> Answer:
        """Send a request; what follows the head of a 101 is left for ``receive``."""
        await self.send(text)
        return await self.answer()

    async def answer(self) -> Answer:
        data = b""
        while b"\r\n\r\n" not in data:
            data += await self.read()
        head, _, rest = data.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = status_line.split(" ", 2)
        assert version == "HTTP/1.1"
        headers = {}
        for line in lines:
            name, _, value = line.partition(": ")
            assert name.lower() not in headers, f"twice: {line}"
            headers[name.lower()] = value
        if status == "101":
            self._reader.feed(rest)
            return Answer(101, headers, b"")
        while len(rest) < int(headers["content-length"]):
            rest += await self.read()
        return Answer(int(status), headers, rest)

    async def ended(self) -> bytes:
        """All that comes until the gateway closes the socket."""
        data = b""
        try:
            while True:
                data += await self.read()
        except Ended:
            return data

    # frames

    def speak_delta(self) -> None:
        """It was agreed on; everything is handed out as with wsgate.v1 all the same."""
        self._reader.speak_delta()

    async def receive(self) -> Frame:
        while (received := self._reader.next()) is None:
            self._reader.feed(await self.read())
        return received

    def feed(self, data: bytes) -> list[Frame]:
        """For tests that read by themselves: the frames that these bytes complete."""
        self._reader.feed(data)
        return list(iter(self._reader.next, None))

    async def until_end(self) -> list[Frame]:
        """Every frame until the gateway closes the socket, which it does between two frames."""
        received = []
        try:
            while True:
                received.append(await self.receive())
        except Ended:
            assert not self._reader.partial, f"cut off within a frame: {self._reader.partial!r}"
            return received

    async def until_close(self, *, answer: bool = False) -> tuple[list[Frame], Frame]:
        """The frames up to a CLOSE, and it. Nothing but the end comes after it, answered or not."""
        received: list[Frame] = []
        if answer:
            while not received or received[-1].opcode != CLOSE:
                received.append(await self.receive())
            await self.send(close_frame(received[-1].close_code))
        *before, close = received + await self.until_end()
        assert close.opcode == CLOSE, close
        assert all(one.opcode != CLOSE for one in before), "CLOSE is the last frame, and the only"
        return before, close

    async def close_properly(self, code: int = 1000) -> Frame:
        """The closing handshake, begun by this side."""
        await self.send(close_frame(code))
        _, close = await self.until_close()
        return close

    # wsgate.v1

    async def send_text(self, text: str) -> None:
        await self.send(frame(TEXT, text.encode()))

    async def receive_text(self) -> str:
        return (await self.receive()).text
