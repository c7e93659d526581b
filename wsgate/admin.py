"""HTTP for operators, on a port of its own: health, readiness, metrics."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any, Final, Protocol

import orjson
import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder

from wsgate.throttle import Throttle

log = structlog.get_logger("wsgate.admin")

COMPLAINT_INTERVAL_S: Final = 30.0
SHUTDOWN_TIMEOUT_S = 1.0
NO_STORE = {"Cache-Control": "no-store"}
TOP_MAX = 1000
BODY_BYTES_MAX = 1024 * 1024
# Also true where workers ask for tokens by now, since SIGHUP.
NO_TICKETS = (
    "there are no tickets: WS_AUTH was none when this gateway started;"
    " where it is jwt they begin with the next start"
)
HEALTH_INDEX = """\
wsgate {version}

  /healthz  200 while the process works; anything else: restart it
  /readyz   200 when it can do its work, else 503 and the reasons
  /metrics  for Prometheus
"""
GATEWAY_INDEX = """\
  /debug/channels?top=20  the busiest channels: subscribers, publications
  /ticket   POST with "Authorization: Bearer <token>": a ticket to use once, as ?ticket=...
  /publish  POST with "Authorization: Bearer <WS_PUBLISH_TOKEN>": {{"channel": "...", "data": ...}}
"""


# What whoever sends a request can make aiohttp complain of: as often as he likes.
OF_THE_REQUEST: Final = (HttpProcessingError, web.RequestPayloadError, ConnectionResetError)
complaints = Throttle(COMPLAINT_INTERVAL_S)


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether aiohttp tells of our own trouble; what is wrong with a request we tell ourselves.

    aiohttp calls it an error, and quotes the request: there may be a token in it.
    """
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, OF_THE_REQUEST):
        return True
    level = min(record.levelno, logging.WARNING)
    held_back = complaints.admit(level)
    if held_back is not None:
        event = "a request on the admin port could not be read"
        log.log(level, event, error=type(error).__name__, held_back=held_back)
    return False


server_log = logging.getLogger("wsgate.admin")
server_log.addFilter(_is_ours)


class Office(Protocol):
    """Answers requests of one kind, such as for tickets; ``wsgate.supervisor`` has them."""

    async def serve(self, request: web.Request) -> web.Response: ...


class Health(Protocol):
    """What any process of ours tells."""

    async def ill(self) -> list[str]:
        """Why it had better be started anew; none if it works."""

    async def not_ready(self) -> list[str]:
        """Why it cannot do its work just now; of a gateway, why clients should go elsewhere."""

    async def metrics(self) -> Collected: ...


class Overview(Health, Protocol):
    """What a gateway tells; ``wsgate.supervisor`` has it."""

    async def busiest(self, top: int) -> list[dict[str, Any]]:
        """The channels published most, at most ``top``, with what is known of them."""


class Collected(Protocol):
    def collect(self) -> Iterable[Metric]: ...


class HealthPort:
    """Serves on ``host`` and ``port`` from :meth:`start` to :meth:`stop`."""

    index = HEALTH_INDEX

    def __init__(self, host: str, port: int, health: Health) -> None:
        self._host = host
        self._port = port
        self._health = health
        application = web.Application(client_max_size=BODY_BYTES_MAX)
        application.router.add_get("/", self._index)
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._metrics)
        self._add_pages(application.router)
        # No access log: a scrape every few seconds is no news.
        self._runner = web.AppRunner(
            application,
            access_log=None,
            logger=server_log,
            shutdown_timeout=SHUTDOWN_TIMEOUT_S,
        )

    def _add_pages(self, router: web.UrlDispatcher) -> None:
        """Those that not every process has."""

    @property
    def port(self) -> int:
        """The port it listens on, also when it was told to take any free one."""
        return self._port

    async def start(self) -> None:
        """Listen; OSError, naming the setting, if the port cannot be had."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            place = f"{self._host}:{self._port} (WS_ADMIN_PORT)"
            raise OSError(error.errno, f"cannot listen on {place}: {_why(error)}") from error
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening; a scrape that is under way gets a moment."""
        await self._runner.cleanup()

    async def _index(self, request: web.Request) -> web.Response:
        return web.Response(text=self.index.format(version=version("wsgate")))

    async def _healthz(self, request: web.Request) -> web.Response:
        return _verdict("ok", "ill", await self._health.ill())

    async def _readyz(self, request: web.Request) -> web.Response:
        return _verdict("ready", "not_ready", await self._health.not_ready())

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        collected = await self._health.metrics()
        return web.Response(
            body=encode(collected), headers={"Content-Type": content_type, **NO_STORE}
        )


class Admin(HealthPort):
    """The gateway's, which has more to tell."""

    index = HEALTH_INDEX + GATEWAY_INDEX

    def __init__(
        self,
        host: str,
        port: int,
        overview: Overview,
        ticket_office: Office | None = None,
        publishing: Office | None = None,
    ) -> None:
        self._overview = overview
        self._tickets = _no_tickets if ticket_office is None else ticket_office.serve
        self._publish = _no_publishing if publishing is None else publishing.serve
        super().__init__(host, port, overview)

    def _add_pages(self, router: web.UrlDispatcher) -> None:
        router.add_get("/debug/channels", self._channels)
        router.add_post("/ticket", self._tickets)
        router.add_post("/publish", self._publish)

    async def _channels(self, request: web.Request) -> web.Response:
        text = request.query.get("top", "20")
        top = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
        if not 1 <= top <= TOP_MAX:
            return refusal(400, f"top is a whole number from 1 to {TOP_MAX}, not {text[:32]!r}")
        return web.Response(
            body=orjson.dumps({"channels": await self._overview.busiest(top)}),
            content_type="application/json",
            headers=NO_STORE,
        )


def _verdict(good: str, bad: str, reasons: list[str]) -> web.Response:
    if not reasons:
        return web.Response(text=f"{good}\n", headers=NO_STORE)
    return web.Response(
        status=503,
        body=orjson.dumps({bad: reasons}),
        content_type="application/json",
        headers=NO_STORE,
    )


async def _no_tickets(request: web.Request) -> web.Response:
    return refusal(404, NO_TICKETS)


async def _no_publishing(request: web.Request) -> web.Response:
    return refusal(404, "nobody may publish here: WS_PUBLISH_TOKEN is not set")


def refusal(status: int, error: str) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps({"error": error}),
        content_type="application/json",
        headers=NO_STORE | ({"WWW-Authenticate": "Bearer"} if status == 401 else {}),
    )


def _why(error: OSError) -> str:
    """The system's own words: a loop puts the address into its, which is said already."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)
