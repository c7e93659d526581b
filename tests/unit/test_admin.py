from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import aiohttp
import pytest
import uvloop
from prometheus_client import CollectorRegistry, Counter

from tests.support.log import Log
from wsgate import admin as admin_port
from wsgate.admin import Admin
from wsgate.throttle import Throttle


def run(test: Coroutine[Any, Any, None]) -> None:
    uvloop.run(asyncio.wait_for(test, 20))


class Told:
    """A gateway as operators are told of it."""

    def __init__(self) -> None:
        self.illnesses: list[str] = []
        self.reasons: list[str] = []
        self.registry = CollectorRegistry()

    async def ill(self) -> list[str]:
        return self.illnesses

    async def not_ready(self) -> list[str]:
        return self.reasons

    async def metrics(self) -> CollectorRegistry:
        return self.registry

    async def busiest(self, top: int) -> list[dict[str, Any]]:
        return []


@asynccontextmanager
async def serving(told: Told) -> AsyncIterator[aiohttp.ClientSession]:
    admin = Admin("127.0.0.1", 0, told)
    await admin.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{admin.port}") as session:
            yield session
    finally:
        await admin.stop()


def test_healthz_whatever_is_not_ready() -> None:
    async def test() -> None:
        told = Told()
        told.reasons.append("nats: not connected")
        async with serving(told) as client:
            async with client.get("/healthz") as answer:
                assert (answer.status, await answer.text()) == (200, "ok\n")
                assert answer.headers["Cache-Control"] == "no-store"
            told.illnesses.append("no worker serves clients")
            async with client.get("/healthz") as answer:
                assert answer.status == 503
                assert await answer.json() == {"ill": told.illnesses}

    run(test())


def test_readyz_says_why_not() -> None:
    async def test() -> None:
        told = Told()
        reasons = told.reasons
        async with serving(told) as client:
            async with client.get("/readyz") as answer:
                assert (answer.status, await answer.text()) == (200, "ready\n")
            reasons += ["nats: not connected", "stopping"]
            async with client.get("/readyz") as answer:
                assert answer.status == 503
                assert await answer.json() == {"not_ready": reasons}
            reasons.clear()
            async with client.get("/readyz") as answer:
                assert answer.status == 200

    run(test())


@pytest.mark.parametrize(
    ("accept", "content_type", "end"),
    [
        ("", "text/plain", "things_total 2.0\n"),
        ("application/openmetrics-text;version=1.0.0", "application/openmetrics-text", "# EOF\n"),
    ],
)
def test_metrics_in_the_form_that_is_asked_for(accept: str, content_type: str, end: str) -> None:
    async def test() -> None:
        told = Told()
        Counter("things", "Things.", registry=told.registry).inc(2)
        async with (
            serving(told) as client,
            client.get("/metrics", headers={"Accept": accept}) as answer,
        ):
            assert answer.status == 200
            assert answer.content_type == content_type
            text = await answer.text()
            assert "things_total 2.0\n" in text
            assert end in text

    run(test())


def test_index_names_the_paths() -> None:
    async def test() -> None:
        async with serving(Told()) as client:
            async with client.get("/") as answer:
                text = await answer.text()
            assert text.startswith(f"wsgate {version('wsgate')}\n")
            for line in text.splitlines()[1:]:
                path, *words = line.split() or [""]
                if "POST" in words:
                    async with client.post(path) as answer:
                        assert answer.status == 404, "no tickets without authentication"
                elif path:
                    async with client.get(path) as answer:
                        assert answer.status == 200
            async with client.get("/elsewhere") as answer:
                assert answer.status == 404

    run(test())


def test_a_busy_port_is_named_with_its_setting() -> None:
    async def test(port: int) -> None:
        admin = Admin("127.0.0.1", port, Told())
        with pytest.raises(OSError) as caught:
            await admin.start()
        assert caught.value.strerror == (
            f"cannot listen on 127.0.0.1:{port} (WS_ADMIN_PORT): Address already in use"
        )

    with socket.create_server(("127.0.0.1", 0)) as busy:
        run(test(busy.getsockname()[1]))


def test_what_is_wrong_with_requests_is_told_once_in_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    monkeypatch.setattr(admin_port, "complaints", Throttle(30, lambda: now[0]))
    log = Log()
    monkeypatch.setattr(admin_port, "log", log.logger)
    head = b" HTTP/1.1\r\nHost: x\r\n"
    wrong = (
        b"GET /" + head + b"Content-Length: abc\r\n\r\n",
        b"GET /" + head + b"X: " + b"x" * 9000 + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\x00" + head + b"\r\n",
        b"GET http://[::1" + head + b"\r\n",
        b"POST /ticket" + head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"POST /ticket" + head + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
        b"garbage\r\n\r\n",
    )

    async def send(port: int, text: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(text)
        assert (await reader.read()).startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 404 "))
        writer.close()

    async def test() -> None:
        admin = Admin("127.0.0.1", 0, Told())
        await admin.start()
        for text in wrong:
            await send(admin.port, text)
        now[0] = 30.0
        await send(admin.port, wrong[0])
        await admin.stop()

    run(test())
    assert [entry["log_level"] for entry in log.entries] == ["warning", "warning"]
    assert log.entries[0]["held_back"] == 0 and log.entries[1]["held_back"] >= 5
    assert log.events() == {"a request on the admin port could not be read"}
    assert not [record for record in caplog.records if record.name == "wsgate.admin"]


def test_a_host_that_is_none() -> None:
    async def test() -> None:
        admin = Admin("no.such.host.invalid", 0, Told())
        with pytest.raises(OSError) as caught:
            await admin.start()
        assert caught.value.strerror is not None
        assert caught.value.strerror.startswith(
            "cannot listen on no.such.host.invalid:0 (WS_ADMIN_PORT): "
        )

    run(test())


def test_nothing_listens_after_a_stop() -> None:
    async def test() -> None:
        admin = Admin("127.0.0.1", 0, Told())
        await admin.start()
        await admin.stop()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", admin.port)

    run(test())
