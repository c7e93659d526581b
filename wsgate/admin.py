"""HTTP for operators, on a port of its own: health, readiness, metrics."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from importlib.metadata import version

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from wsgate.auth.authenticator import Authenticator
from wsgate.auth.carriers import Credential, CredentialKind
from wsgate.auth.identity import KeysUnavailable, KeyUnknown, TokenExpired, TokenRefused

SHUTDOWN_TIMEOUT_S = 1.0
NO_STORE = {"Cache-Control": "no-store"}
INDEX = """\
wsgate {version}

  /healthz  200 while the process works; anything else: restart it
  /readyz   200 when new clients are welcome, else 503 and the reasons
  /metrics  for Prometheus
  /ticket   POST with "Authorization: Bearer <token>": a ticket to use once, as ?ticket=...
"""


def _without_request(record: logging.LogRecord) -> bool:
    """What aiohttp says of a malformed request quotes it, and there may be a token in it."""
    if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
        record.exc_info = None
    return True


server_log = logging.getLogger("wsgate.admin")
server_log.addFilter(_without_request)


class TicketOffice:
    """Gives a ticket for a token, so that the token itself need not stand in a URL."""

    def __init__(self, authenticator: Authenticator, ttl_s: float) -> None:
        self._authenticator = authenticator
        self._ttl_s = ttl_s

    async def serve(self, request: web.Request) -> web.Response:
        """201 with the ticket, 401 for a token that is no good, 503 if nobody can tell now."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return _refusal(401, "give the client's token, as Authorization: Bearer <token>")
        credential = Credential(CredentialKind.TOKEN, token.strip())
        try:
            try:
                identity = self._authenticator.authenticate(credential)
            except KeyUnknown:
                identity = await self._authenticator.authenticate_later(credential)
        except (TokenExpired, TokenRefused) as error:
            return _refusal(401, str(error))
        except KeysUnavailable as error:
            return _refusal(503, str(error))
        ticket = self._authenticator.issue_ticket(identity, self._ttl_s)
        return web.json_response(
            {"ticket": ticket, "expires_in": self._ttl_s},
            status=201,
            headers=NO_STORE,
            dumps=lambda value: orjson.dumps(value).decode(),
        )


class Admin:
    """Serves on ``host`` and ``port`` from :meth:`start` to :meth:`stop`.

    ``ready`` gives the reasons why no new clients should be sent here: none if they are welcome.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        ready: Callable[[], list[str]],
        registry: CollectorRegistry,
        ticket_office: TicketOffice | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._reasons = ready
        self._registry = registry
        application = web.Application()
        application.router.add_get("/", self._index)
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._metrics)
        if ticket_office is not None:
            application.router.add_post("/ticket", ticket_office.serve)
        else:
            application.router.add_post("/ticket", _no_tickets)
        # No access log: a scrape every few seconds is no news.
        self._runner = web.AppRunner(
            application,
            access_log=None,
            logger=server_log,
            shutdown_timeout=SHUTDOWN_TIMEOUT_S,
        )

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
        return web.Response(text=INDEX.format(version=version("wsgate")))

    async def _healthz(self, request: web.Request) -> web.Response:
        # That this runs is the proof: it is the loop that serves clients.
        return web.Response(text="ok\n", headers=NO_STORE)

    async def _readyz(self, request: web.Request) -> web.Response:
        reasons = self._reasons()
        if not reasons:
            return web.Response(text="ready\n", headers=NO_STORE)
        return web.Response(
            status=503,
            body=orjson.dumps({"not_ready": reasons}),
            content_type="application/json",
            headers=NO_STORE,
        )

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(
            body=encode(self._registry), headers={"Content-Type": content_type, **NO_STORE}
        )


async def _no_tickets(request: web.Request) -> web.Response:
    return _refusal(
        404, "there are no tickets: this gateway asks nobody for a token (WS_AUTH=none)"
    )


def _refusal(status: int, error: str) -> web.Response:
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
