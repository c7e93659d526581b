"""A backend that is polled: it keeps what changed, and misbehaves on request.

    async with Backend() as backend:
        backend.change("abc", price=1)          # the next answer has it
        backend.scripts.append(status(503))     # the next answer is this instead

Answers in the way of the defaults: ``{"items": [...], "cursor": "..."}``.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from tests.support.feed import DEADLINE_S
from tests.support.http_port import HttpPort

Script = Callable[[web.Request], Awaitable[web.StreamResponse]]


def status(code: int, **headers: str) -> Script:
    async def script(request: web.Request) -> web.StreamResponse:
        return web.Response(status=code, headers=headers)

    return script


def body(data: bytes, **headers: str) -> Script:
    async def script(request: web.Request) -> web.StreamResponse:
        return web.Response(body=data, headers=headers)

    return script


def items(*found: Any, cursor: Any = None) -> Script:
    return body(json.dumps({"items": found, "cursor": cursor}).encode())


class Backend(HttpPort):
    """``changes`` are all there ever were; the cursor is how many of them somebody has seen.

    ``forgotten``: of how many nothing is known any more; an older cursor is answered with 410.
    """

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[dict[str, Any]] = []
        self.forgotten = 0
        self.scripts: deque[Script] = deque()
        """Each is the answer to one request, in the place of the usual one."""
        self.tagged = False
        """Whether answers have an ETag."""
        self.seen: list[web.Request] = []
        self.at_once = 0
        self.at_once_most = 0
        self.not_modified = 0
        self._versions: dict[str, int] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/api/tokens/updates"

    def change(self, id: str, **fields: Any) -> dict[str, Any]:
        """One more change of this item."""
        self._versions[id] = self._versions.get(id, 0) + 1
        self.changes.append({"id": id, "version": self._versions[id], **fields})
        return self.changes[-1]

    @property
    def since(self) -> list[str | None]:
        """What each request asked with."""
        return [request.query.get("since") for request in self.seen]

    async def until_asked(self, more: int = 1) -> None:
        """Return when that many more requests have come."""
        count = len(self.seen) + more
        async with asyncio.timeout(DEADLINE_S):
            while len(self.seen) < count:
                self._changed.clear()
                await self._changed.wait()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        self.at_once += 1
        self.at_once_most = max(self.at_once, self.at_once_most)
        self._changed.set()
        try:
            await self.go.wait()
            if self.scripts:
                return await self.scripts.popleft()(request)
            return self._answer(request)
        finally:
            self.at_once -= 1

    def _answer(self, request: web.Request) -> web.Response:
        since = int(request.query.get("since", self.forgotten))
        if since < self.forgotten:
            return web.Response(status=410)
        tag = f'"{len(self.changes)}"'
        if self.tagged and request.headers.get("If-None-Match") == tag:
            self.not_modified += 1
            return web.Response(status=304)
        found = self.changes[since:]
        answer = {"items": found, "cursor": str(len(self.changes))}
        return web.Response(
            body=json.dumps(answer).encode(), headers={"ETag": tag} if self.tagged else {}
        )
