"""A gateway without a network: hub, core and edge as they are, clients that are method calls.

What a client sends goes to picows' protocol as uvloop would hand it over; what it is sent goes
through a real socket, since the core writes to a descriptor, and comes out of ``Client.received``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from typing import Any

from tests.core.rfc6455 import CLOSE, TEXT
from tests.support.frames import Frame, FrameReader
from wsgate.auth.authenticator import Authenticator
from wsgate.edge.admission import Handshakes
from wsgate.edge.handshake import protocol_factory
from wsgate.edge.sink import SocketSink
from wsgate.hub import Connection, Hub
from wsgate.limits import Limits
from wsgate.protocol import COMMAND_BYTES_MAX
from wsgate.rules import DEFAULT_RULES
from wsgate.upgrade import Upgrade


def upgrade(path: bytes = b"/", *headers: bytes) -> bytes:
    """A request as browsers send it."""
    lines = [
        b"GET " + path + b" HTTP/1.1",
        b"Host: a",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==",
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


UPGRADE = upgrade()
# Small and short, so that inputs of a few hundred bytes come near them.
LIMITS = Limits(
    connections_max=4,
    channels_max=8,
    payload_bytes_max=4096,
    events_bytes_max=8192,
    events_count_max=8,
    subscriptions_max=12,
    fragments_max=4,
    handshake_timeout_s=0.2,
    ping_interval_s=0.25,
    close_timeout_s=0.2,
    auth_timeout_s=0.3,
)
# Longer than any time limit takes to strike.
EVERYTHING_OVER_S = 1.5
# A command, its header, and what picows keeps free; doubled, as it grows.
READ_BUFFER_BYTES_MAX = 4 * COMMAND_BYTES_MAX


class WatchedHub(Hub):
    """A hub that checks what the edge promises: after an end comes nothing, after `lost` no end."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._ended: set[Connection] = set()
        self._lost: set[Connection] = set()

    def received(self, connection: Connection, message: bytes) -> None:
        assert connection not in self._ended, "a message after the end"
        message.decode()
        super().received(connection, message)

    def pinged(self, connection: Connection, payload: bytes) -> None:
        assert connection not in self._ended, "a ping after the end"
        super().pinged(connection, payload)

    def close_received(self, connection: Connection, code: int) -> None:
        assert connection not in self._ended, "a CLOSE after the end"
        self._ended.add(connection)
        super().close_received(connection, code)

    def failed(self, connection: Connection, code: int, reason: str) -> None:
        assert connection not in self._ended, "a failure after the end"
        assert code != 1011, "an error inside the gateway"
        self._ended.add(connection)
        super().failed(connection, code, reason)

    def lost(self, connection: Connection) -> None:
        assert connection not in self._lost, "lost twice"
        self._ended.add(connection)
        self._lost.add(connection)
        super().lost(connection)


class _Complaints(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(self.format(record))


class Gateway:
    """Made inside a running loop. ``finish`` checks that nothing is left of all that happened."""

    def __init__(
        self, limits: Limits = LIMITS, *, authenticator: Authenticator | None = None
    ) -> None:
        sink = SocketSink()
        self.hub = WatchedHub(sink, DEFAULT_RULES, limits, authenticator=authenticator)
        self.core = self.hub.core
        self.handshakes = Handshakes(
            limits.handshake_timeout_s,
            at_once_max=limits.handshakes_max,
            header_bytes_max=limits.header_bytes_max,
        )
        self.upgrade = Upgrade(
            self.hub, sink, limits, list, authenticated=authenticator is not None
        )
        self._make_protocol = protocol_factory(
            self.upgrade, self.handshakes, self.hub.turns, message_bytes_max=COMMAND_BYTES_MAX
        )
        self.clients: list[Client] = []
        self._complaints = _Complaints()
        logging.getLogger("wsgate").addHandler(self._complaints)

    def connect(self) -> Client:
        client = Client(self._make_protocol())
        self.clients.append(client)
        return client

    async def stop(self) -> None:
        logging.getLogger("wsgate").removeHandler(self._complaints)
        await self.hub.stop()
        self.handshakes.stop()
        for client in self.clients:
            client.forget()

    async def finish(self) -> None:
        """Every time limit strikes, every client goes, and what each was sent was right."""
        try:
            await asyncio.sleep(EVERYTHING_OVER_S)
            self.core.check()
            assert not len(self.handshakes), "a handshake without an end"
            # Whoever does not read is spared, for TCP to find out about: so all read.
            while sum(client.read() for client in self.clients):
                await asyncio.sleep(0.001)
            await asyncio.sleep(EVERYTHING_OVER_S)
            self.core.check()
            assert not len(self.hub), "a client that says nothing is kept"
            for client in self.clients:
                client.read()
                client.check()
        finally:
            await self.stop()
        assert not self._complaints.records, self._complaints.records


class Client:
    """One client and its transport, which holds what the socket does not take, as uvloop's does."""

    def __init__(self, protocol: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)
        self._ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the kernel has a least
        self._held = bytearray()
        self._closing = self._over = self._cut = self._ends = False
        self._protocol = protocol
        self.received = bytearray()
        protocol.connection_made(self)

    # what a client does

    @property
    def open(self) -> bool:
        return not self._closing

    def send(self, data: bytes) -> None:
        at = 0
        while at < len(data) and not self._closing:
            room = self._protocol.get_buffer(65536)
            assert 0 < len(room) <= READ_BUFFER_BYTES_MAX, f"a read buffer of {len(room)} bytes"
            size = min(len(room), len(data) - at)
            room[:size] = data[at : at + size]
            del room
            at += size
            self._protocol.buffer_updated(size)

    def read(self) -> bool:
        """Take what there is; whether there was anything."""
        size_before = len(self.received)
        while data := self._read_some():
            self.received += data
            self._drain()
        return len(self.received) > size_before

    def _read_some(self) -> bytes:
        try:
            return self._theirs.recv(1 << 16)
        except BlockingIOError:
            return b""

    def vanish(self) -> None:
        """The connection breaks: whatever was on its way is gone."""
        self._cut = True
        self.abort()

    def end_of_file(self) -> None:
        """It sends no more, which ends the connection for both."""
        self._cut = True
        if not self._closing and not self._protocol.eof_received():
            self.close()

    def check(self) -> list[Any]:
        """All it received: an answer, then whole frames with CLOSE as the last; its messages."""
        messages: list[Any] = []
        if not self.received:
            return messages
        head, blank, stream = bytes(self.received).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 "), head
        if not blank:
            assert self._cut, "half an answer"
        if not head.startswith(b"HTTP/1.1 101 "):
            return messages
        reader = FrameReader(inflates=b"permessage-deflate" in head)
        reader.feed(stream)
        frames: list[Frame] = []
        while (frame := reader.next()) is not None:
            frames.append(frame)
        assert not reader.partial or self._cut, "half a frame"
        assert CLOSE not in [frame.opcode for frame in frames[:-1]], "something after CLOSE"
        for frame in frames:
            if frame.opcode == TEXT:
                messages.append(json.loads(frame.payload))
                assert type(messages[-1]["type"]) is str
            elif frame.opcode == CLOSE:
                frame.close_reason.encode()
        return messages

    def forget(self) -> None:
        """Give its sockets back."""
        self._ours.close()
        self._theirs.close()

    # what picows, the edge and the sink ask of a transport

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            if not self._held:
                self._loop.call_soon(self._lose)

    def get_protocol(self) -> Any:
        return self._protocol

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Our half ends once what is held is written; the client's goes on."""
        if not self._closing and not self._ends:
            self._ends = True
            if not self._held:
                self._ours.shutdown(socket.SHUT_WR)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"socket": self._ours, "peername": ("192.0.2.1", 1)}.get(name, default)

    def set_write_buffer_limits(self, high: int) -> None:
        assert high == 0

    def get_write_buffer_size(self) -> int:
        return len(self._held)

    def is_closing(self) -> bool:
        return self._closing

    def write(self, data: bytes) -> None:
        assert not self._ends, "a write after the end of our half"
        if self._closing:
            return
        self._held += data
        self._write_held()
        if self._held:
            self._protocol.pause_writing()

    def abort(self) -> None:
        self._cut = self._cut or bool(self._held)
        self._held.clear()
        if not self._over:
            self._closing = True
            self._loop.call_soon(self._lose)

    def _write_held(self) -> None:
        if self._held:
            try:
                del self._held[: self._ours.send(self._held)]
            except BlockingIOError:
                pass

    def _drain(self) -> None:
        """There is room in the socket: write what is held."""
        if not self._held:
            return
        self._write_held()
        if not self._held:
            self._protocol.resume_writing()
            if self._ends:
                self._ours.shutdown(socket.SHUT_WR)
            if self._closing:
                self._loop.call_soon(self._lose)

    def _lose(self) -> None:
        if not self._over:
            self._over = True
            self._protocol.connection_lost(None)
            self._ours.close()
