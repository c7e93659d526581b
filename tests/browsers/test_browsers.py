"""Real browsers, without a window: they connect, in the clear and encrypted, and are let in.

Skipped for each that is not there. Debian: ``apt install chromium firefox-esr libnss3-tools``
(the last puts the test's certificate into Firefox's profile).
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web

from tests.support.certificates import Authority
from tests.support.gateway import LocalGateway, local_gateway
from tests.support.loop import on_loop

PAGE = Path(__file__).with_name("page.html")
SECRET = "a secret of the issuer, of more than 32 bytes"
CHANNEL = "token.abc.comment"
PUBLICATIONS = 50
TEXT = "the same words in every message, so that compressing pays; " * 20
BROWSER_S = 60

pytestmark = pytest.mark.timeout(3 * BROWSER_S)


def token(**claims: Any) -> str:
    return jwt.encode({"sub": "somebody", "exp": time.time() + 600, **claims}, SECRET, "HS256")


def cases(url: str) -> dict[str, dict[str, Any]]:
    """What the page is to try, by name."""
    good, expired = token(), token(exp=time.time() - 600)
    forged = jwt.encode({"sub": "somebody", "exp": time.time() + 600}, SECRET[::-1], "HS256")
    wanted = {"channel": CHANNEL, "want": PUBLICATIONS}
    return {
        "in the url": {"url": f"{url}/?auth={good}", **wanted},
        "as a subprotocol": {
            "url": url,
            "protocols": ["wsgate.v1", f"wsgate.auth.{good}"],
            **wanted,
        },
        "as the first message": {"url": url, "first": {"type": "auth", "token": good}, **wanted},
        "expired": {"url": f"{url}/?auth={expired}", **wanted},
        "forged": {"url": f"{url}/?auth={forged}", **wanted},
    }


class Relay:
    """Stands between browser and gateway, and counts the bytes that the browser is sent."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.sent = 0

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(
        self, from_browser: asyncio.StreamReader, to_browser: asyncio.StreamWriter
    ) -> None:
        from_gateway, to_gateway = await asyncio.open_connection("127.0.0.1", self._target)
        for reader, writer, counts in (
            (from_browser, to_gateway, False),
            (from_gateway, to_browser, True),
        ):
            task = asyncio.create_task(self._pass_on(reader, writer, counts))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counts: bool
    ) -> None:
        try:
            while data := await reader.read(65536):
                self.sent += len(data) if counts else 0
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def page(url: str) -> AsyncIterator[tuple[str, asyncio.Future[Any]]]:
    """Serves the page; its address, and what it will report."""
    reported: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def take(request: web.Request) -> web.Response:
        if not reported.done():
            reported.set_result(json.loads(await request.text()))
        return web.Response()

    async def show(request: web.Request) -> web.FileResponse:
        return web.FileResponse(PAGE)

    async def hand_out(request: web.Request) -> web.Response:
        return web.json_response(cases(url))

    application = web.Application()
    application.router.add_get("/", show)
    application.router.add_get("/cases", hand_out)
    application.router.add_post("/report", take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/", reported
    finally:
        await runner.cleanup()


async def run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    assert await process.wait() == 0, command


async def chromium(folder: Path, authority: Authority) -> list[str]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium")
    return [
        program,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--ignore-certificate-errors",
        f"--user-data-dir={folder}",
    ]


async def firefox(folder: Path, authority: Authority) -> list[str]:
    program = shutil.which("firefox") or shutil.which("firefox-esr")
    certutil = shutil.which("certutil")
    if program is None or certutil is None:
        pytest.skip("there is no Firefox, or no certutil")
    database = f"sql:{folder}"
    await run(certutil, "-N", "-d", database, "--empty-password")
    trust = ["-n", "authority", "-t", "C,,", "-i", str(authority.own_path)]
    await run(certutil, "-A", "-d", database, *trust)
    return [program, "--headless", "--no-remote", "--profile", str(folder)]


@asynccontextmanager
async def visiting(command: list[str], url: str) -> AsyncIterator[None]:
    """The browser is open at the page, in a process group of its own, until the end."""
    process = await asyncio.create_subprocess_exec(
        *command,
        url,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def publishing(gateway: LocalGateway) -> None:
    """For ever: whoever has subscribed gets as many as he wants."""
    number = 0
    while True:
        gateway.publish(CHANNEL, {"number": number, "text": TEXT})
        number += 1
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("scheme", ["ws", "wss"])
@pytest.mark.parametrize("browser", [chromium, firefox])
@on_loop
async def test_a_browser_is_let_in_and_compressed_for(
    browser: Any, scheme: str, tmp_path: Path
) -> None:
    folder = tmp_path / "profile"
    folder.mkdir()
    authority = Authority(tmp_path)
    command = await browser(folder, authority)
    settings: dict[str, Any] = {"ws_auth": "jwt", "ws_jwt_secret": SECRET}
    if scheme == "wss":
        settings |= {"ws_tls_cert": authority.path, "ws_tls_key": authority.key_path}
    async with local_gateway(**settings) as gateway:
        relay = Relay(gateway.port)
        port = await relay.start()
        publisher = asyncio.create_task(publishing(gateway))
        try:
            async with (
                page(f"{scheme}://127.0.0.1:{port}") as (url, reported),
                visiting(command, url),
            ):
                report = await asyncio.wait_for(reported, BROWSER_S)
        finally:
            publisher.cancel()
            await relay.stop()
        results = report["results"]
        for name in ("in the url", "as a subprotocol", "as the first message"):
            result = results[name]
            assert result["code"] is None, (name, result)
            assert result["publications"] == PUBLICATIONS
            assert result["extensions"].startswith("permessage-deflate")
        assert results["as a subprotocol"]["protocol"] == "wsgate.v1"
        assert results["in the url"]["protocol"] == ""
        kinds = [one["type"] for one in results["as the first message"]["messages"]]
        assert kinds == ["authorized", "subscribed"]
        assert results["expired"]["code"] == 4401
        assert results["forged"]["code"] == 4501
        # Three times as many messages as one got, each more than a kilobyte before compression.
        assert 0 < relay.sent < 3 * PUBLICATIONS * len(TEXT) / 2
        assert gateway.totals["frames_deflated"] > 0
