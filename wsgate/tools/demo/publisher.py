"""The backend's connection to NATS."""

from __future__ import annotations

from contextlib import suppress

import nats
import nats.errors
from nats.aio.client import Client

RECONNECT_WAIT_S = 0.2


class NatsPublisher:
    """Publishes while NATS is there. While it is not, what happens is lost, as in real life."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection = Client()

    async def start(self) -> None:
        self._connection = await nats.connect(
            self._url,
            name="wsgate-demo-backend",
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_WAIT_S,
            error_cb=_quiet,
        )

    async def stop(self) -> None:
        await self._connection.close()

    async def publish(self, subject: str, payload: bytes) -> None:
        if not self._connection.is_connected:
            return
        with suppress(nats.errors.Error):  # the connection may be lost this very moment
            await self._connection.publish(subject, payload)


async def _quiet(_error: Exception) -> None:
    """An outage is for the page to show, not for a stack trace in the terminal."""
