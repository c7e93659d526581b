"""An HTTP server of a test's own, on a free port that it keeps when it is opened again."""

from __future__ import annotations

import asyncio
from typing import Self

from aiohttp import web


class HttpPort:
    """``serve`` answers every GET; while ``go`` is cleared requests are to wait."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.go.set()
        self._changed = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._port = 0

    async def serve(self, request: web.Request) -> web.StreamResponse:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *error: object) -> None:
        self.go.set()
        await self.close()

    async def open(self) -> None:
        """At the same port again, if it was open before."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self.serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
