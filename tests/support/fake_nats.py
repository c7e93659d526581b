"""A NATS server that misbehaves on request, for what a real one cannot be made to do.

Each connection is handed to the test's own script; what a script returns from is closed.

    async def script(client: Peer) -> None:
        await client.welcome()             # until the test says that the client is live
        await client.send(b"-ERR 'Nonsense'\\r\\n")
        await client.answer()              # PONG for every PING until the client goes
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import TracebackType

INFO = {"server_id": "fake", "version": "2.15.0", "proto": 1, "max_payload": 1048576}


class Peer:
    """One client, as the server sees it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, live: asyncio.Event
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._live = live
        self.subscribed: dict[str, str] = {}
        """Subject by subscription id."""

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def greet(self) -> None:
        await self.send(b"INFO %s\r\n" % json.dumps(INFO).encode())

    async def welcome(self) -> None:
        """Greet, answer the PING behind CONNECT and the two behind the subscriptions."""
        await self.greet()
        await self.answer(pings=3)
        await self._live.wait()

    async def answer(self, pings: int | None = None) -> None:
        """Read on, and answer this many PINGs; all there are if no number is given."""
        answered = 0
        while answered != pings and (line := await self._reader.readline()):
            match line.split():
                case [b"PING"]:
                    await self.send(b"PONG\r\n")
                    answered += 1
                case [b"SUB", subject, sid]:
                    self.subscribed[sid.decode()] = subject.decode()

    async def ignore(self) -> None:
        """Read on, say nothing."""
        while await self._reader.read(65536):
            pass


Script = Callable[[Peer], Awaitable[None]]


class FakeNats:
    """An async context manager; runs ``scripts`` for one connection after another, then the last
    for all further ones."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = scripts
        self.connections = 0
        self.live = asyncio.Event()
        """For the test to set once it has seen the client go live."""

    async def __aenter__(self) -> FakeNats:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"nats://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.connections += 1
        try:
            await script(Peer(reader, writer, self.live))
        except OSError:
            pass  # the client has gone
        finally:
            writer.close()
