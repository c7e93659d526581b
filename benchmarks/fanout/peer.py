"""A server of one connection that says what it is told to: do the load clients see each fault?"""

from __future__ import annotations

import base64
import hashlib
import socket

CHANNEL = "token.bench.comment"
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(payload: bytes, opcode: int = 1) -> bytes:
    length = len(payload)
    if length < 126:
        head = bytes([length])
    elif length < 65536:
        head = b"\x7e" + length.to_bytes(2, "big")
    else:
        head = b"\x7f" + length.to_bytes(8, "big")
    return bytes([0x80 | opcode]) + head + payload


def publication(counter: int, channel: int = 0, size: int = 500) -> bytes:
    data = f'{{"c":{channel},"n":{counter},"t":1,"pad":"'.encode()
    data += b"x" * (size - len(data) - 2) + b'"}'
    head = f'{{"type":"token_comment","channel":"{CHANNEL}","seq":{counter},"prev":0,"data":'
    return frame(head.encode() + data + b"}")


class Peer:
    """The server's side of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = connection
        self.stream = connection.makefile("rb")

    def upgrade(self, subprotocol: bytes = b"") -> None:
        key = b""
        while line := self.stream.readline().strip():
            name, _, value = line.partition(b":")
            key = value.strip() if name.lower() == b"sec-websocket-key" else key
        accept = base64.b64encode(hashlib.sha1(key + GUID.encode()).digest())
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        head += b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n"
        head += b"Sec-WebSocket-Protocol: " + subprotocol + b"\r\n" if subprotocol else b""
        head += b"\r\n"
        self.connection.sendall(head)

    def read_frame(self) -> bytes:
        length = self.stream.read(2)[1]
        assert length & 0x80, "a client's frames are masked"
        length &= 0x7F
        if length == 126:
            length = int.from_bytes(self.stream.read(2), "big")
        mask = self.stream.read(4)
        return bytes(byte ^ mask[i & 3] for i, byte in enumerate(self.stream.read(length)))

    def send(self, *parts: bytes) -> None:
        for part in parts:
            self.connection.sendall(part)
