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

from wsgate.admin import Admin


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
