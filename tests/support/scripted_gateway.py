"""A gateway that does as a test says, message by message, on a free port.

    async with scripted_gateway() as gateway:
        async with Client(gateway.url) as client:
            line = await gateway.accept()      # the next connection, upgraded
            command = await line.command("subscribe")
            await line.send({"type": "subscribed", "id": command["id"], "channels": {}})

What it does before an upgrade is put into ``answers``: an HTTP status with headers, one a request.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from tests.support.feed import DEADLINE_S


class Line:
    """One connection, seen from the gateway."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        self.ended = asyncio.Event()

    @property
    def offered(self) -> list[str]:
        assert self.connection.request is not None
        return self.connection.request.headers["Sec-WebSocket-Protocol"].split(", ")

    @property
    def path(self) -> str:
        assert self.connection.request is not None
        return self.connection.request.path

    async def command(self, type: str) -> dict[str, Any]:
        """The next command, which has to be of this type."""
        async with asyncio.timeout(DEADLINE_S):
            command = json.loads(await self.connection.recv())
        assert command["type"] == type, command
        return command  # type: ignore[no-any-return]

    async def send(self, message: dict[str, Any]) -> None:
        await self.connection.send(json.dumps(message))

    async def grant(self, **entries: Any) -> dict[str, Any]:
        """Answer a subscribe; ``entries`` by channel, "__" for ".", where it is not at 0 of e1."""
        command = await self.command("subscribe")
        given = {name.replace("__", "."): entry for name, entry in entries.items()}
        nothing = {"epoch": "e1", "seq": 0}
        channels = {
            name: given.get(name, {} if "*" in name else nothing) for name in command["channels"]
        }
        await self.send({"type": "subscribed", "id": command["id"], "channels": channels | given})
        return command

    async def publish(self, channel: str, seq: int, prev: int | None = None) -> None:
        prev = seq - 1 if prev is None else prev
        await self.send(
            {"type": "x", "channel": channel, "seq": seq, "prev": prev, "data": f"{channel} {seq}"}
        )

    async def close(self, code: int, reason: str = "") -> None:
        await self.connection.close(code, reason)

    async def closed(self) -> int | None:
        """The code with which the client closes, once it has."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    await self.connection.recv()
        except ConnectionClosed as end:
            return None if end.rcvd is None else end.rcvd.code


class ScriptedGateway:
    def __init__(self) -> None:
        self.answers: deque[tuple[int, dict[str, str]]] = deque()
        self.requests = 0
        self._lines: asyncio.Queue[Line] = asyncio.Queue()
        self._server: Server | None = None

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(next(iter(self._server.sockets)).getsockname()[1])

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"

    async def accept(self) -> Line:
        async with asyncio.timeout(DEADLINE_S):
            return await self._lines.get()

    async def _request(self, connection: ServerConnection, request: Request) -> Response | None:
        self.requests += 1
        if not self.answers:
            return None
        status, headers = self.answers.popleft()
        response = connection.respond(HTTPStatus(status), "no")
        response.headers.update(headers)
        return response

    async def _serve(self, connection: ServerConnection) -> None:
        line = Line(connection)
        self._lines.put_nowait(line)
        await connection.wait_closed()


@asynccontextmanager
async def scripted_gateway() -> AsyncIterator[ScriptedGateway]:
    gateway = ScriptedGateway()
    async with serve(
        gateway._serve,
        "127.0.0.1",
        0,
        subprotocols=[Subprotocol("wsgate.v1")],
        process_request=gateway._request,
        ping_interval=None,
        close_timeout=0.2,
    ) as server:
        gateway._server = server
        yield gateway
