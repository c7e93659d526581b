"""One WebSocket connection of a client, on a socket that never blocks; its owner knows why."""

from __future__ import annotations

import errno
import json
import select
import socket
from enum import Enum
from typing import Any, Final, Protocol

IP_BIND_ADDRESS_NO_PORT: Final = 24
READ_BYTES: Final = 1 << 16
TEXT, CLOSE, PING = 1, 8, 9
MASK: Final = b"\x5a\x17\xc3\x2e"
REQUEST: Final = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
NAMES: Final = {errno.ECONNREFUSED: "refused", errno.ECONNRESET: "reset"}
ACCEPTED: Final = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


class Stage(Enum):
    CONNECTING = 0
    UPGRADING = 1
    OPEN = 2
    CLOSING = 3
    """CLOSE came or was sent."""
    ENDED = 4


class Owner(Protocol):
    def upgraded(self, line: Line) -> None: ...
    def heard(self, line: Line, payload: bytes) -> None: ...
    def closed(self, line: Line) -> None:
        """CLOSE has come, with `line.code`; it was answered unless it is an answer itself."""

    def ended(self, line: Line, how: str) -> None:
        """There is no socket any more."""


def frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    head = bytes([0x80 | opcode, 0x80 | size]) if size < 126 else b""
    head = head or bytes([0x80 | opcode, 0xFE]) + size.to_bytes(2, "big")
    long_mask = int.from_bytes((MASK * (size // 4 + 1))[:size], "big")
    return head + MASK + (int.from_bytes(payload, "big") ^ long_mask).to_bytes(size, "big")


class Line:
    __slots__ = (
        *("_error", "_owner", "_poll", "_rest", "_socket"),
        *("code", "first", "next", "stage", "who"),
    )

    def __init__(self, owner: Owner, who: Any, poll: select.epoll, source: str, port: int) -> None:
        """`who`, `first` and `next` are the owner's own."""
        self.who = who
        self.first = self.next = 0
        self.code: int | None = None  # of the CLOSE that came
        self.stage = Stage.CONNECTING
        self._owner = owner
        self._poll = poll
        self._rest = b""
        self._socket = socket.socket()
        self._socket.setblocking(False)
        # Else a source has only as many ports as there are, whomever they are connected to.
        self._socket.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.bind((source, 0))
        error = self._socket.connect_ex(("127.0.0.1", port))
        self._error = 0 if error == errno.EINPROGRESS else error
        self._poll.register(self._socket.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def fileno(self) -> int:
        return self._socket.fileno()

    def say(self, command: dict[str, Any]) -> None:
        self._send(frame(TEXT, json.dumps(command).encode()))

    def close(self, code: int = 1000) -> None:
        """Ask for the end; what is under way still comes."""
        if self.stage is Stage.OPEN:
            self.stage = Stage.CLOSING
            self._send(frame(CLOSE, code.to_bytes(2, "big")))

    def ready(self) -> None:
        """The poll has something for it."""
        if self.stage is Stage.CONNECTING:
            self._connected()
        else:
            self._read()

    def _connected(self) -> None:
        error = self._error or self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._end(NAMES.get(error, f"errno {error}"))
            return
        self._poll.modify(self._socket.fileno(), select.EPOLLIN)
        self.stage = Stage.UPGRADING
        self._send(REQUEST)

    def _send(self, data: bytes) -> None:
        try:
            sent = self._socket.send(data)
        except OSError:
            return  # reading will say the same
        assert sent == len(data), "a command did not fit into an empty socket"

    def _read(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(NAMES.get(error.errno or 0, f"errno {error.errno}"))
            return
        if not data:
            self._end("ended")
            return
        if self._rest:
            data = self._rest + data
        at = self._upgrade(data) if self.stage is Stage.UPGRADING else 0
        if self.stage in (Stage.OPEN, Stage.CLOSING):
            at = self._frames(data, at)
        self._rest = data[at:]

    def _upgrade(self, data: bytes) -> int:
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            return 0
        head = data[:end]
        if not head.startswith(b"HTTP/1.1 101 ") or ACCEPTED not in head:
            self._end("HTTP " + head[9:12].decode("latin-1"))
            return 0
        self.stage = Stage.OPEN
        self._owner.upgraded(self)
        return end

    def _frames(self, data: bytes, at: int) -> int:
        """All that are whole, up to CLOSE; where the rest begins."""
        size = len(data)
        while size - at >= 2 and self.code is None:
            length = data[at + 1]
            begin = at + 2
            if length == 126:
                begin += 2
                length = int.from_bytes(data[at + 2 : begin], "big")
            elif length > 126:
                begin += 8
                length = int.from_bytes(data[at + 2 : begin], "big")
            end = begin + length
            if begin > size or end > size:
                break
            self._frame(data[at] & 15, data[begin:end])
            at = end
        return at

    def _frame(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            self._owner.heard(self, payload)
        elif opcode == PING:
            self._send(frame(10, payload))
        elif opcode == CLOSE:
            self.code = int.from_bytes(payload[:2], "big")
            self.close(self.code)
            self._owner.closed(self)

    def _end(self, how: str) -> None:
        self.stage = Stage.ENDED
        if self.code is not None:
            how = f"closed {self.code}" + (" and more came" if self._rest else "")
        self._poll.unregister(self._socket.fileno())
        self._socket.close()
        self._owner.ended(self, how)
