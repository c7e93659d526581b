"""``wsgate serve``: from settings to the last client's close, and what signals mean on the way."""

from __future__ import annotations

import asyncio
import signal
from typing import Final

import structlog

from wsgate import descriptors
from wsgate.settings import Settings
from wsgate.settings.reading import ConfigError, Loaded
from wsgate.signals import Signals
from wsgate.supervisor.load import LoadLimits
from wsgate.supervisor.orphans import reap_if_first
from wsgate.supervisor.sockets import listen
from wsgate.supervisor.supervisor import Drain, Supervisor

log = structlog.get_logger("wsgate.supervisor")

EXIT_CUT_SHORT: Final = 1

# What is no worker's affair, or not only, is taken up when the supervisor starts and not again.
ONLY_AT_START: Final = (
    "ws_host",
    "ws_port",
    "ws_admin_port",
    "ws_workers",
    "ws_cpu_limit",
    "ws_memory_limit",
    "ws_auth",  # whether there are tickets
    "ws_ticket_ttl_s",
    "ws_poll_url",
    "ws_poll_token",
    "ws_poll_interval_ms",
    "ws_poll_timeout_s",
    "ws_poll_max_bytes",
    "ws_poll_max_ids",
    "ws_poll_items",
    "ws_poll_id",
    "ws_poll_version",
    "ws_poll_cursor",
    "ws_poll_channel",
    "ws_publish_token",
    "ws_drain_delay_s",
    "ws_drain_timeout_s",
    "ws_drain_reconnects_per_s",
    "log_level",  # the supervisor's own
    "log_format",
)


async def run(loaded: Loaded) -> int:
    """Until SIGTERM or SIGINT; returns the exit status.

    A second one of them ends everything at once. SIGHUP has the settings read anew, and the workers
    replaced.
    """
    settings = loaded.settings
    _prepare(loaded)
    workers = settings.worker_count()
    supervisor = Supervisor(
        settings.blueprint(workers),
        listen(settings.ws_host, settings.ws_port, workers),
        settings.ws_host,
        settings.ws_admin_port,
        Drain(
            delay_s=settings.ws_drain_delay_s,
            deadline_s=settings.ws_drain_timeout_s,
            reconnects_per_s=settings.ws_drain_reconnects_per_s,
        ),
        load_limits=LoadLimits(
            cpu_cores=settings.ws_cpu_limit or None, memory_bytes=settings.ws_memory_limit or None
        ),
        ticket_ttl_s=None if settings.ws_auth == "none" else settings.ws_ticket_ttl_s,
        poll=settings.poll(),
        publish_token=settings.publish_token(),
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
    signals.on_hangup(lambda: _restart(supervisor, loaded, workers))
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


def _restart(supervisor: Supervisor, started: Loaded, workers: int) -> None:
    try:
        loaded = started.again()
    except ConfigError as error:
        log.error("the settings are wrong now; workers stay as they are", problems=error.problems)
        return
    log.info("the settings were read anew")
    _prepare(loaded)
    fixed = fixed_that_changed(started.settings, loaded.settings)
    if fixed:
        log.warning("these settings take full effect only with a restart", settings=fixed)
    supervisor.restart(loaded.settings.blueprint(workers))


def fixed_that_changed(then: Settings, now: Settings) -> list[str]:
    """The settings that are others now, and that only a start takes up."""
    return [name.upper() for name in ONLY_AT_START if getattr(then, name) != getattr(now, name)]


def _prepare(loaded: Loaded) -> None:
    """Say what may be a mistake, and have the system allow what workers will need."""
    for warning in loaded.warnings:
        log.warning(warning.event, **warning.details)
    settings = loaded.settings
    # A worker may get all connections, but has only its share of the handshakes.
    limits = settings.blueprint().limits
    allowed = descriptors.allow(limits.connections_max, limits.handshakes_max)
    if allowed is not None:
        log.warning(
            "the limit of open files (ulimit -n) is too low for WS_MAX_CONNECTIONS and"
            " WS_MAX_HANDSHAKES together",
            open_files_wanted=descriptors.needed(limits.connections_max, limits.handshakes_max),
            sockets_allowed=allowed,
            ws_max_connections=settings.ws_max_connections,
            ws_max_handshakes=settings.ws_max_handshakes,
        )
