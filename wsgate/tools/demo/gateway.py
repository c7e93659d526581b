"""The demo's gateway: the real one, but in this process, so that it can be fed without NATS."""

from __future__ import annotations

import asyncio

import aiohttp
from yarl import URL

from wsgate.app import Gateway
from wsgate.config import Settings
from wsgate.sources import Feed
from wsgate.sources.local import LocalSource

READY_TIMEOUT_S = 15.0
POLL_S = 0.02


class GatewayNotReadyError(Exception):
    """The gateway runs but its feed does not come up."""


class DemoGateway:
    """A gateway fed by the NATS at `nats_url`, or else by `publish`."""

    def __init__(self, host: str, port: int, admin_port: int, nats_url: str | None) -> None:
        settings = Settings(
            ws_host=host,
            ws_port=port,
            ws_admin_port=admin_port,
            nats_url=[nats_url] if nats_url else [],
            log_level="warning",
            log_format="text",
        )
        self._local: LocalSource | None = None
        self._host = host
        self._gateway = Gateway(settings, None if nats_url else self._local_source)

    @property
    def port(self) -> int:
        return int(self._gateway.port)

    async def start(self) -> None:
        await self._gateway.start()

    async def stop(self) -> None:
        await self._gateway.stop()

    async def ready(self) -> None:
        """Return once everything published from now on reaches the hub."""
        url = URL.build(scheme="http", host=self._host, port=self.port, path="/readyz")
        try:
            async with asyncio.timeout(READY_TIMEOUT_S), aiohttp.ClientSession() as session:
                while not await _is_ready(session, url):
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise GatewayNotReadyError(f"{url} does not become ready") from None

    def publish(self, subject: str, payload: bytes) -> bool:
        """Straight into the hub: for a demo without NATS."""
        return self._local is not None and self._local.publish(subject, payload)

    def _local_source(self, feed: Feed) -> LocalSource:
        self._local = LocalSource(feed)
        return self._local


async def _is_ready(session: aiohttp.ClientSession, url: URL) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False
