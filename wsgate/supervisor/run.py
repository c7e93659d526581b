"""``wsgate serve``: from settings to the last client's close, and what signals mean on the way."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import structlog

from wsgate.config import ConfigError, load
from wsgate.settings import Settings
from wsgate.supervisor.orphans import reap_if_first
from wsgate.supervisor.sockets import listen
from wsgate.supervisor.supervisor import Drain, Supervisor

log = structlog.get_logger("wsgate.supervisor")

EXIT_CUT_SHORT = 1


async def run(settings: Settings) -> int:
    """Until SIGTERM or SIGINT; returns the exit status.

    A second one of them ends everything at once. SIGHUP has the settings read anew, and the workers
    replaced.
    """
    workers = settings.worker_count()
    supervisor = Supervisor(
        settings.blueprint(),
        listen(settings.ws_host, settings.ws_port, workers),
        settings.ws_host,
        settings.ws_admin_port,
        Drain(
            delay_s=settings.ws_drain_delay_s,
            deadline_s=settings.ws_drain_timeout_s,
            reconnects_per_s=settings.ws_drain_reconnects_per_s,
        ),
        ticket_ttl_s=None if settings.ws_auth == "none" else settings.ws_ticket_ttl_s,
    )
    signals = Signals()
    reap_if_first()
    await supervisor.start()
    log.info(
        "listening",
        host=settings.ws_host,
        port=supervisor.port,
        tls=settings.ws_tls_cert is not None,
        admin_port=supervisor.admin_port,
        workers=workers,
    )
    signals.on_hangup = lambda: _restart(supervisor)
    first = await signals.end()
    stopping = asyncio.create_task(supervisor.stop(hurry=first is signal.SIGINT))
    again = asyncio.create_task(signals.end())
    await asyncio.wait({stopping, again}, return_when=asyncio.FIRST_COMPLETED)
    again.cancel()
    if stopping.done():
        stopping.result()
        return 0
    log.warning("told twice: ending at once")
    stopping.cancel()
    await asyncio.wait({stopping})
    await supervisor.kill()
    return EXIT_CUT_SHORT


class Signals:
    """SIGTERM and SIGINT, each told once for each time; SIGHUP calls ``on_hangup``."""

    def __init__(self) -> None:
        self.on_hangup: Callable[[], None] = lambda: None
        self._ends: asyncio.Queue[signal.Signals] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self._ends.put_nowait, signum)
        loop.add_signal_handler(signal.SIGHUP, lambda: self.on_hangup())

    async def end(self) -> signal.Signals:
        return await self._ends.get()


def _restart(supervisor: Supervisor) -> None:
    try:
        blueprint = load().blueprint()
    except ConfigError as error:
        log.error("the settings are wrong now; workers stay as they are", problems=error.problems)
        return
    supervisor.restart(blueprint)
