"""Serves the live page: a few static files, and where to find the gateway."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from yarl import URL

STATIC = Path(__file__).parent / "static"
# Spelt out: what `mimetypes` says depends on the machine, and a browser runs no script of an
# unexpected type.
CONTENT_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'self'; connect-src 'self' ws: wss:",
    "X-Content-Type-Options": "nosniff",
}
# What else the page should know, given the gateway's URL as that browser sees it.
Describe = Callable[[str], dict[str, Any]]


class PageServer:
    """The page on `host:port`; `port` 0 takes any free one and `port` then says which."""

    def __init__(self, host: str, port: int, *, gateway_port: int, describe: Describe) -> None:
        self.host = host
        self.port = port
        self._gateway_port = gateway_port
        self._describe = describe
        self._runner = web.AppRunner(self._application(), access_log=None)

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self._runner.cleanup()

    def _application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/config.json", self._config)
        application.router.add_get("/", _static_file("index.html"))
        for path in STATIC.iterdir():
            application.router.add_get(f"/{path.name}", _static_file(path.name))
        return application

    async def _config(self, request: web.Request) -> web.Response:
        # The gateway is reached by the name that the page was reached by: through a tunnel or
        # from another machine that is not the address we listen on.
        url = URL.build(scheme="ws", host=request.url.host or self.host, port=self._gateway_port)
        config = {"url": str(url), **self._describe(str(url))}
        return web.json_response(config, headers=HEADERS)


def _static_file(name: str) -> Callable[[web.Request], Awaitable[web.FileResponse]]:
    path = STATIC / name
    headers = HEADERS | {"Content-Type": CONTENT_TYPES[path.suffix]}

    async def serve(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(path, headers=headers)

    return serve
