"""A whole gateway in the test's own loop, on real sockets, fed by method calls."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from tests.support.certificates import Certificate
from tests.support.client import ACCEPT, UPGRADE, Client, request
from tests.support.feed import until
from tests.support.tls_client import TlsClient
from wsgate.admin import Admin
from wsgate.app import Gateway
from wsgate.auth.identity import Identity
from wsgate.core.fanout import Fanout
from wsgate.desk import Desk
from wsgate.hub import Connection, Hub
from wsgate.limits import Limits
from wsgate.metrics.collector import registry
from wsgate.settings import Settings
from wsgate.sources import Feed
from wsgate.sources.local import LocalSource
from wsgate.supervisor.busiest import busiest
from wsgate.supervisor.sockets import listen
from wsgate.supervisor.tickets import TicketOffice

# Tests that set it have every gateway, and all its clients, speak TLS.
over_tls: Certificate | None = None
# ... and here that all clients speak wsgate.delta.v1.
speak_delta = False


class LateSource(LocalSource):
    """Its origin is not there yet when the gateway starts."""

    async def start(self) -> None:
        pass

    async def arrive(self) -> None:
        await super().start()


def worker(settings: Settings, **options: Any) -> Gateway:
    """What the settings make of a worker, in this process, on a socket of its own."""
    (listening,) = listen(settings.ws_host, settings.ws_port, 1)
    return Gateway(settings.blueprint(), listening, **options)


class LocalGateway:
    """``publish`` is what a backend would do; ``connect`` what a browser would."""

    """A ``source`` of None: the gateway's own, as the settings have it."""

    def __init__(self, settings: Settings, source: type[LocalSource] | None = LocalSource) -> None:
        self.settings = settings
        self.tickets = TicketOffice(self, settings.ws_ticket_ttl_s)
        self.app = worker(
            settings, source_factory=source and self._make_source, redeem=self._redeem
        )
        self._source_type = source
        self._clients: list[Client] = []
        self._stop: asyncio.Task[None] | None = None

    def _make_source(self, feed: Feed) -> Sequence[LocalSource]:
        assert self._source_type is not None
        self.source = self._source_type(feed)
        return [self.source]

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[Admin]:
        """Its port for operators, as the supervisor would have it."""
        office = None if self.settings.ws_auth == "none" else self.tickets
        admin = Admin("127.0.0.1", 0, self, office)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.stop()

    async def ill(self) -> list[str]:
        return []

    async def not_ready(self) -> list[str]:
        return self.app.not_ready()

    async def metrics(self) -> CollectorRegistry:
        return registry(self.app)

    async def busiest(self, top: int) -> list[dict[str, Any]]:
        return await busiest(self, top)

    async def ask_all(self, question: str, argument: Any = None) -> list[tuple[int, Any]]:
        return [(0, await self.ask_any(question, argument))]

    async def ask_any(self, question: str, argument: Any = None) -> Any:
        """As the supervisor asks."""
        return await Desk(self.app).answer(question, argument)

    async def _redeem(self, ticket: str) -> Identity | None:
        found = self.tickets.redeem(ticket)
        return None if found is None else Identity.from_plain(found)

    @property
    def port(self) -> int:
        return self.app.port

    @property
    def hub(self) -> Hub:
        return self.app.hub

    @property
    def core(self) -> Fanout:
        return self.app.hub.core

    @property
    def totals(self) -> dict[str, int]:
        return self.core.counters.snapshot()

    @property
    def connections(self) -> list[Connection]:
        """The gateway's ends, in the order in which they were upgraded."""
        return list(self.app.hub._connections.values())

    def publish(self, channel: str, data: Any = None) -> None:
        assert self.source.publish(channel, json.dumps(data).encode())

    async def dial(self, **options: Any) -> Client:
        """Connect, and say nothing but what TLS needs."""
        client = self._known(await Client.dial(self.port, **options))
        if over_tls is not None:
            client = self._known(await TlsClient.secure(client, over_tls.trusted()))
        return client

    async def connect(self, **options: Any) -> Client:
        """Connect, and upgrade as browsers do."""
        client = await self.dial(**options)
        offer = {"Sec-WebSocket-Protocol": "wsgate.delta.v1, wsgate.v1"} if speak_delta else {}
        if speak_delta:
            client.speak_delta()
        answer = await client.ask(request(headers=UPGRADE | offer))
        assert answer.status == 101, answer
        assert (answer.headers.get("sec-websocket-protocol") == "wsgate.delta.v1") == speak_delta
        assert answer.headers["sec-websocket-accept"] == ACCEPT
        return client

    async def subscriber(self, *channels: str, **options: Any) -> Client:
        client = await self.connect(**options)
        reply = await client.subscribe(*channels)
        assert "errors" not in reply, reply
        return client

    def _known(self, client: Client) -> Client:
        self._clients.append(client)
        return client

    def stop(self) -> asyncio.Task[None]:
        """The gateway's stop, which happens once."""
        if self._stop is None:
            self._stop = asyncio.create_task(self.app.stop())
        return self._stop

    async def until_empty(self) -> None:
        await until(lambda: len(self.hub) == 0, "every connection to be gone")

    async def until_flushed(self) -> None:
        """Nothing is left that could be written now: what is owed waits for slow readers."""
        await until(lambda: not self.core.owes_publications, "an end of the flush")

    def close_clients(self) -> None:
        for client in self._clients:
            client.close()


@asynccontextmanager
async def local_gateway(
    *,
    limits: dict[str, float] | None = None,
    source: type[LocalSource] = LocalSource,
    **settings: Any,
) -> AsyncIterator[LocalGateway]:
    """Runs until the block ends; fails the test for anything that went wrong unseen."""

    class Adjusted(Settings):
        def limits(self) -> Limits:
            return replace(super().limits(), **(limits or {}))  # type: ignore[arg-type]

    defaults: dict[str, Any] = {"ws_host": "127.0.0.1", "ws_port": 0, "ws_workers": 1}
    # Tests say in a moment what clients say in minutes.
    defaults |= {"ws_max_commands_per_s": 0, "ws_max_pings_per_s": 0}
    if over_tls is not None:
        defaults |= {"ws_tls_cert": over_tls.path, "ws_tls_key": over_tls.key_path}
    complaints: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    recorder = _Recorder(complaints.append)
    logging.getLogger("wsgate").addHandler(recorder)
    gateway = LocalGateway(Adjusted(**(defaults | settings)), source)
    try:
        await gateway.app.start()
        try:
            yield gateway
            gateway.core.check()
        finally:
            gateway.close_clients()
            await gateway.stop()
        assert len(gateway.hub) == 0
        gateway.core.check()
    finally:
        logging.getLogger("wsgate").removeHandler(recorder)
        loop.set_exception_handler(None)
    assert not complaints, complaints


class _Recorder(logging.Handler):
    def __init__(self, note: Callable[[object], object]) -> None:
        super().__init__(logging.WARNING)
        self._note = note

    def emit(self, record: logging.LogRecord) -> None:
        self._note(record.getMessage())


def server_side(client: Client) -> socket.socket:
    """A duplicate of the gateway's socket for this client, found among this process's own."""
    wanted = client.socket.getsockname()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            duplicate = os.dup(int(entry.name))
        except OSError:
            continue  # it was the listing's own
        try:
            candidate = socket.socket(fileno=duplicate)
        except OSError:
            os.close(duplicate)
            continue  # not a socket
        try:
            if candidate.getpeername() == wanted:
                return candidate
        except OSError:
            pass  # not connected
        candidate.close()
    raise AssertionError("the gateway has no socket for this client")
