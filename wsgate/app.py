"""The composition root: builds a gateway from settings, runs it, and takes it down in order."""

from __future__ import annotations

import asyncio
import errno
import gc
import signal
import socket
from collections.abc import Callable, Sequence

import structlog
from pydantic import SecretStr

from wsgate.admin import Admin, TicketOffice
from wsgate.auth.authenticator import Authenticator
from wsgate.auth.keys import KeySource
from wsgate.auth.keyset import KeysUnusable
from wsgate.auth.origins import origin
from wsgate.auth.permissions import EVERYTHING, NOTHING
from wsgate.auth.verifier import TokenOptions
from wsgate.control import REVOKE_SUBJECT
from wsgate.edge.acceptor import LISTEN_BACKLOG, Acceptor, bound_accepted
from wsgate.edge.admission import Handshakes
from wsgate.edge.handshake import protocol_factory
from wsgate.edge.sink import SocketSink
from wsgate.edge.tls import TlsContext
from wsgate.hub import Hub
from wsgate.metrics import registry
from wsgate.networks import TrustedNetworks
from wsgate.origins import Origins
from wsgate.settings import Settings
from wsgate.sources import Feed, Source
from wsgate.sources.nats import NatsSource
from wsgate.upgrade import Upgrade

log = structlog.get_logger("wsgate.app")

GC_THRESHOLDS = (50_000, 20, 50)  # connections are long-lived: looking at them often finds nothing

SourceFactory = Callable[[Feed], Sequence[Source]]


class Gateway:
    """One gateway process: listening sockets, hub, sources, admin.

    ``source_factory`` takes the place of the NATS source that the settings describe.
    """

    def __init__(self, settings: Settings, *, source_factory: SourceFactory | None = None) -> None:
        self._settings = settings
        self._limits = settings.limits()
        self._source_factory = source_factory or self._nats_source
        self._stopping = False
        self.sources: Sequence[Source] = ()
        self.tls: TlsContext | None = None
        self.keys: KeySource | None = None
        self.authenticator: Authenticator | None = None

    async def start(self) -> None:
        """Listen and connect; raises OSError, naming the setting, if a port cannot be had.

        So it does if the certificate or its key, or a key to check tokens with, cannot be used.
        """
        settings = self._settings
        if settings.ws_tls_cert is not None and settings.ws_tls_key is not None:
            self.tls = TlsContext(settings.ws_tls_cert, settings.ws_tls_key)
        self._listening = _listen(settings.ws_host, settings.ws_port, "WS_PORT")
        try:
            self.keys, self.authenticator = _authentication(settings)
            sink = SocketSink()
            poll_descriptor = _poll_descriptor(asyncio.get_running_loop())
            sink.watch(poll_descriptor)
            self.hub = Hub(
                sink,
                settings.ws_rules,
                self._limits,
                flush_window_s=settings.ws_flush_window_ms / 1000,
                authenticator=self.authenticator,
            )
            proxies = TrustedNetworks(settings.ws_trusted_proxies)
            self.upgrade = Upgrade(
                self.hub,
                sink,
                self._limits,
                self.not_ready,
                deflate=settings.ws_deflate,
                authenticated=self.authenticator is not None,
                origins=Origins(settings.ws_allowed_origins),
                proxies=proxies if settings.ws_trusted_proxies else None,
            )
            self.sources = self._source_factory(self.hub)
            self.handshakes = Handshakes(
                self._limits.handshake_timeout_s,
                at_once_max=self._limits.handshakes_max,
                header_bytes_max=self._limits.header_bytes_max,
                per_s=self._limits.handshakes_per_s,
            )
            self.acceptor = Acceptor(
                self._listening,
                protocol_factory(
                    self.upgrade,
                    self.handshakes,
                    self.hub.turns,
                    message_bytes_max=self._limits.message_bytes_max,
                    tls=self.tls,
                    proxies=proxies if settings.ws_proxy_protocol == "on" else None,
                ),
                poll_descriptor=poll_descriptor,
            )
            self._admin = Admin(
                settings.ws_host,
                settings.ws_admin_port,
                ready=self.not_ready,
                registry=registry(self),
                ticket_office=self._ticket_office(),
            )
            if self.keys is not None:
                await self.keys.start()
            await self._admin.start()
        except BaseException as error:
            self._listening.close()
            if self.keys is not None:
                await self.keys.stop()
            if isinstance(error, KeysUnusable):
                setting = "WS_JWT_KEYS" if settings.ws_jwt_keys else "WS_JWT_SECRET"
                raise OSError(errno.EINVAL, f"{setting} cannot be used: {error}") from error
            raise
        for source in self.sources:
            self.hub.feed_stale(source.name)  # until it says otherwise
            await source.start()
        if self.tls is not None:
            self.tls.start()
        await self.acceptor.start()
        # What exists now lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        log.info(
            "listening",
            host=settings.ws_host,
            port=self.port,
            tls=self.tls is not None,
            admin_port=self.admin_port,
        )

    async def stop(self) -> None:
        """Close every connection with 1012, what is owed first, then everything else."""
        self._stopping = True
        self.acceptor.stop()
        self._listening.close()
        if self.tls is not None:
            self.tls.stop()
        for source in self.sources:
            await source.stop()
        await self.hub.close_all()
        self.handshakes.stop()  # who upgraded until now was told 1012 as well
        await self.hub.stop()
        await self._admin.stop()
        if self.keys is not None:
            await self.keys.stop()
        log.info("stopped", connections_total=self.hub.opened_total)

    @property
    def port(self) -> int:
        """Where clients connect."""
        return int(self._listening.getsockname()[1])

    @property
    def admin_port(self) -> int:
        """Where health and metrics are."""
        return self._admin.port

    def not_ready(self) -> list[str]:
        """Why new clients had better go elsewhere; empty when they are welcome."""
        reasons = [f"{one.name}: not connected" for one in self.sources if not one.connected]
        if self.authenticator is not None and not self.authenticator.ready:
            reasons.append("the keys to check tokens with are not there yet")
        if len(self.hub) >= self._limits.connections_max:
            reasons.append("as many connections as WS_MAX_CONNECTIONS allows")
        if self._stopping:
            reasons.append("stopping")
        return reasons

    def _ticket_office(self) -> TicketOffice | None:
        if self.authenticator is None:
            return None
        return TicketOffice(self.authenticator, self._settings.ws_ticket_ttl_s)

    def _nats_source(self, feed: Feed) -> Sequence[Source]:
        settings = self._settings
        return [
            NatsSource(
                feed,
                settings.nats_url,
                settings.nats_subjects,
                creds_file=settings.nats_creds,
                user=settings.nats_user,
                password=_revealed(settings.nats_password),
                token=_revealed(settings.nats_token),
                control_subjects=() if settings.ws_auth == "none" else (REVOKE_SUBJECT,),
            )
        ]


def _authentication(settings: Settings) -> tuple[KeySource | None, Authenticator | None]:
    if settings.ws_auth == "none":
        return None, None
    options = TokenOptions(
        permissions_default=EVERYTHING if settings.ws_jwt_channels_default == "all" else NOTHING,
        audience=settings.ws_jwt_audience,
        issuer=settings.ws_jwt_issuer,
        leeway_s=settings.ws_jwt_leeway_s,
        channels_claim=settings.ws_jwt_channels_claim,
    )
    keys = KeySource(origin(_revealed(settings.ws_jwt_secret), settings.ws_jwt_keys))
    return keys, Authenticator(keys, options)


def _poll_descriptor(loop: asyncio.AbstractEventLoop) -> int:
    """uvloop's; -1 of a loop that does not tell, which then has to do without what needs it."""
    backend_id = getattr(loop, "_get_backend_id", None)
    return -1 if backend_id is None else int(backend_id())


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _listen(host: str, port: int, setting: str) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        bound_accepted(listening)
        listening.listen(LISTEN_BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise OSError(
            error.errno,
            f"cannot listen on {host}:{port} ({setting}): {error.strerror}",
        ) from error
    return listening


async def run(settings: Settings) -> int:
    """Run a gateway until SIGTERM or SIGINT; returns the exit status."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    gateway = Gateway(settings)
    await gateway.start()
    await stop.wait()
    await gateway.stop()
    return 0
