"""wsgate.v1 as tests speak it, over a raw client or an independent one."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

_ids = itertools.count(1)


class Conversation:
    async def send_text(self, text: str) -> None:
        raise NotImplementedError

    async def receive_text(self) -> str:
        raise NotImplementedError

    async def say(self, type: str, **fields: Any) -> None:
        await self.send_text(json.dumps({"type": type, **fields}))

    async def message(self) -> Any:
        return json.loads(await self.receive_text())

    async def messages(self, count: int) -> list[Any]:
        return [await self.message() for _ in range(count)]

    async def subscribe(self, *channels: str, **fields: Any) -> Any:
        """The reply. Last values that come with it are left for ``message``."""
        await self.say("subscribe", channels=channels, **fields)
        reply = await self.message()
        assert reply["type"] == "subscribed", reply
        return reply

    async def unsubscribe(self, *channels: str, **fields: Any) -> Any:
        await self.say("unsubscribe", channels=channels, **fields)
        reply = await self.message()
        assert reply["type"] == "unsubscribed", reply
        return reply

    async def settle(self) -> list[Any]:
        """Every message that the gateway had for this client by now.

        Two pings: replies overtake publications that wait, but only those of the same moment.
        """
        received: list[Any] = []
        for _ in range(2):
            marker = f"settle-{next(_ids)}"
            await self.say("ping", id=marker)
            while (message := await self.message()) != {"type": "pong", "id": marker}:
                received.append(message)
        return received


class Browser(Conversation):
    """python-websockets: it has read RFC 6455 on its own."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send_text(self, text: str) -> None:
        await self.connection.send(text)

    async def receive_text(self) -> str:
        text = await self.connection.recv()
        assert isinstance(text, str)
        return text


@asynccontextmanager
async def browser(port: int) -> AsyncIterator[Browser]:
    async with connect(f"ws://127.0.0.1:{port}/", proxy=None, max_queue=None) as connection:
        yield Browser(connection)
