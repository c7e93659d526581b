"""The demo's gateway: the real one, but in this process, so that it can be fed without NATS."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from wsgate.app import Gateway
from wsgate.settings import Settings
from wsgate.sources import Feed, Source
from wsgate.sources.local import LocalSource

READY_TIMEOUT_S = 15.0
POLL_S = 0.02


class GatewayNotReadyError(Exception):
    """The gateway runs but its feed does not come up."""


class DemoGateway:
    """A gateway fed by the NATS at `nats_url`, or else by `publish`."""

    def __init__(self, host: str, port: int, admin_port: int, nats_url: str | None) -> None:
        self._local: LocalSource | None = None
        # Constructed, not validated: that leaves out the environment, whose settings and
        # credentials are meant for another gateway and another NATS.
        settings = Settings.model_construct(
            ws_host=host,
            ws_port=port,
            ws_admin_port=admin_port,
            nats_url=(nats_url,) if nats_url else (),
        )
        self._gateway = Gateway(settings, source_factory=None if nats_url else self._local_source)

    @property
    def port(self) -> int:
        return self._gateway.port

    async def start(self) -> None:
        await self._gateway.start()

    async def stop(self) -> None:
        await self._gateway.stop()

    async def ready(self) -> None:
        """Return once everything published from now on reaches the hub."""
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                while self._gateway.not_ready():
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise GatewayNotReadyError("; ".join(self._gateway.not_ready())) from None

    def publish(self, subject: str, payload: bytes) -> bool:
        """Straight into the hub: for a demo without NATS."""
        return self._local is not None and self._local.publish(subject, payload)

    def _local_source(self, feed: Feed) -> Sequence[Source]:
        self._local = LocalSource(feed)
        return [self._local]
