"""The demo's gateway: the real one, supervisor and workers, on its own settings."""

from __future__ import annotations

import asyncio

from wsgate.settings import Settings
from wsgate.supervisor.sockets import listen
from wsgate.supervisor.supervisor import Drain, Supervisor

READY_TIMEOUT_S = 15.0
POLL_S = 0.02
AT_ONCE = Drain(delay_s=0.0, deadline_s=10.0, reconnects_per_s=1000.0)


class GatewayNotReadyError(Exception):
    """The gateway runs but its feed does not come up."""


class DemoGateway:
    """A gateway fed by the NATS at `nats_url`, or else by `publish`."""

    def __init__(self, host: str, port: int, admin_port: int, nats_url: str | None) -> None:
        # Constructed, not validated: that leaves out the environment, whose settings and
        # credentials are meant for another gateway and another NATS.
        settings = Settings.model_construct(
            ws_host=host,
            ws_port=port,
            ws_admin_port=admin_port,
            nats_url=(nats_url,) if nats_url else (),
            log_level="warning",
            log_format="text",
        )
        self._supervisor = Supervisor(
            settings.blueprint(), listen(host, port, 1), host, admin_port, AT_ONCE
        )

    @property
    def port(self) -> int:
        return self._supervisor.port

    async def start(self) -> None:
        await self._supervisor.start()

    async def stop(self) -> None:
        await self._supervisor.stop()

    async def ready(self) -> None:
        """Return once everything published from now on reaches the hub."""
        reasons: list[str] = []
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                while reasons := await self._supervisor.not_ready():
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise GatewayNotReadyError("; ".join(reasons)) from None

    def publish(self, subject: str, payload: bytes) -> bool:
        """To the workers: for a demo without NATS."""
        self._supervisor.publish(subject, payload)
        return True
