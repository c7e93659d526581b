"""A worker's composition root: builds a gateway from its blueprint, and takes it down in order."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import structlog

from wsgate.addresses import AddressCounts
from wsgate.blueprint import Blueprint, NatsBlueprint
from wsgate.capacity import Capacity
from wsgate.control import control_subjects
from wsgate.edge.acceptor import Acceptor
from wsgate.edge.admission import Handshakes
from wsgate.edge.handshake import protocol_factory
from wsgate.edge.sink import SocketSink
from wsgate.edge.tls import TlsContext
from wsgate.hub import Hub
from wsgate.networks import TrustedNetworks
from wsgate.origins import Origins
from wsgate.rules import Rules
from wsgate.sources import Feed, Source
from wsgate.sources.history import History
from wsgate.sources.local import LocalSource
from wsgate.sources.nats import NatsSource
from wsgate.sources.remote import RemoteSource
from wsgate.stalls import Stalls
from wsgate.upgrade import Upgrade

if TYPE_CHECKING:
    from wsgate.auth.authenticator import Authenticator, Redeem
    from wsgate.auth.keys import KeySource

log = structlog.get_logger("wsgate.app")

GC_THRESHOLDS = (50_000, 20, 50)  # connections are long-lived: looking at them often finds nothing

SourceFactory = Callable[[Feed], Sequence[Source]]


class Gateway:
    """What serves clients in one process: hub, sources, and the socket that it is given.

    ``source_factory`` takes the place of the sources that the blueprint describes. ``redeem``
    asks whoever gives tickets; without it no ticket is any good.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        listening: socket.socket,
        *,
        source_factory: SourceFactory | None = None,
        capacity: Capacity | None = None,
        addresses: AddressCounts | None = None,
        redeem: Redeem | None = None,
        live_sources: tuple[str, ...] = (),
    ) -> None:
        self._blueprint = blueprint
        self._limits = blueprint.limits
        self._listening = listening
        self._source_factory = source_factory or self._own_sources
        self._capacity = capacity
        self._addresses = addresses
        per_address_max = self._limits.connections_per_address_max
        if addresses is None and per_address_max is not None:
            self._addresses = AddressCounts(per_address_max, self._limits.connections_max)
        self._redeem = redeem or _no_tickets
        self._live_sources = live_sources
        self._leaving = False
        self.sources: Sequence[Source] = ()
        self.tls: TlsContext | None = None
        self.keys: KeySource | None = None
        self.authenticator: Authenticator | None = None

    async def start(self) -> None:
        """Accept clients, and connect to the sources.

        Raises OSError, naming the setting, if the certificate or its key, or a key to check tokens
        with, cannot be used.
        """
        try:
            await self._start()
        except BaseException:
            self._listening.close()
            if self.keys is not None:
                await self.keys.stop()
            raise

    async def _start(self) -> None:
        blueprint = self._blueprint
        if blueprint.tls is not None:
            self.tls = TlsContext(blueprint.tls.certificate, blueprint.tls.key)
        self._authentication()
        sink = SocketSink()
        poll_descriptor = _poll_descriptor(asyncio.get_running_loop())
        sink.watch(poll_descriptor)
        self.hub = Hub(
            sink,
            blueprint.rules,
            self._limits,
            flush_window_s=blueprint.flush_window_s,
            authenticator=self.authenticator,
            capacity=self._capacity,
            replay=self._replay,
            addresses=self._addresses,
        )
        proxies = TrustedNetworks(blueprint.trusted_proxies)
        self.upgrade = Upgrade(
            self.hub,
            sink,
            self._limits,
            self.not_ready,
            deflate=blueprint.deflate,
            delta=blueprint.delta,
            authenticated=self.authenticator is not None,
            origins=Origins(blueprint.allowed_origins),
            proxies=proxies if blueprint.trusted_proxies else None,
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
                proxies=proxies if blueprint.proxy_protocol else None,
            ),
            poll_descriptor=poll_descriptor,
        )
        await self._start_keys()
        for source in self.sources:
            self.hub.feed_stale(source.name)  # until it says otherwise
            await source.start()
        if self.tls is not None:
            self.tls.start()
        await self.acceptor.start()
        self.stalls = Stalls(asyncio.get_running_loop())
        self.stalls.start()
        # What exists now lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)

    def leave(self) -> None:
        """Want no new clients from now on, but take those who come."""
        self._leaving = True

    async def drain(self, spread_s: float) -> None:
        """Accept no more, and send every client elsewhere, spread over so many seconds.

        Returns when all are gone, what they were owed first.
        """
        self._leaving = True
        self._accept_no_more()
        await self.hub.departures.drain(spread_s)

    async def stop(self) -> None:
        """Close every connection that is left, what it is owed first, then everything else."""
        self._leaving = True
        self._accept_no_more()
        if self.tls is not None:
            self.tls.stop()
        for source in self.sources:
            await source.stop()
        await self.hub.departures.drain(0.0)
        self.handshakes.stop()  # who upgraded until now was told 1012 as well
        await self.hub.stop()
        self.stalls.stop()
        if self.keys is not None:
            await self.keys.stop()

    @property
    def port(self) -> int:
        """Where clients connect."""
        return int(self._listening.getsockname()[1])

    def not_ready(self) -> list[str]:
        """Why new clients had better go elsewhere; empty when they are welcome."""
        reasons = [f"{one.name}: not connected" for one in self.sources if not one.connected]
        if self.authenticator is not None and not self.authenticator.ready:
            reasons.append("the keys to check tokens with are not there yet")
        lack = self.hub.capacity.lack
        if lack is not None:
            reasons.append(NOT_READY[lack])
        if self._leaving:
            reasons.append("stopping")
        return reasons

    def _accept_no_more(self) -> None:
        self.acceptor.stop()
        self._listening.close()

    def _authentication(self) -> None:
        auth = self._blueprint.auth
        if auth is not None:
            # Only here: what cryptography takes is a quarter of a worker's start.
            from wsgate.auth.authenticator import Authenticator
            from wsgate.auth.keys import KeySource
            from wsgate.auth.origins import origin

            self.keys = KeySource(origin(auth.secret, auth.keys))
            self.authenticator = Authenticator(self.keys, auth.options, redeem=self._redeem)

    async def _start_keys(self) -> None:
        if self.keys is None:
            return
        from wsgate.auth.keyset import KeysUnusable

        try:
            await self.keys.start()
        except KeysUnusable as error:
            assert self._blueprint.auth is not None
            setting = self._blueprint.auth.setting
            raise OSError(errno.EINVAL, f"{setting} cannot be used: {error}") from error

    async def _replay(self, channel: str, after: int, epoch: str) -> list[tuple[int, bytes]] | None:
        """From the first source that has it."""
        for source in self.sources:
            found = await source.replay(channel, after, epoch)
            if found is not None:
                return found
        return None

    def _own_sources(self, feed: Feed) -> Sequence[Source]:
        sources: list[Source] = [
            RemoteSource(feed, name, live=name in self._live_sources)
            for name in self._blueprint.remote_sources
        ]
        nats = self._blueprint.nats
        if nats is not None:
            sources.append(self._nats_source(feed, nats))
        # Without any, what the supervisor tells is all there is: that cannot be lost.
        return sources or [LocalSource(feed)]

    def _nats_source(self, feed: Feed, nats: NatsBlueprint) -> NatsSource:
        return NatsSource(
            feed,
            nats.servers,
            nats.subjects,
            **nats.credentials,
            streams=nats.streams,
            rules=self._blueprint.rules,
            history=_history(self._blueprint.rules),
            control_subjects=control_subjects(
                revocations=self._blueprint.auth is not None, gaps=nats.aggregated
            ),
        )


def _history(rules: Rules) -> History:
    """What has to be asked of a stream for what the rules keep of its events."""
    kept = [rule for rule in rules if rule.history_events]
    return History(
        bytes=sum(rule.history_bytes for rule in kept),
        age_s=max((rule.history_age_s for rule in kept), default=0.0),
    )


NOT_READY = {
    "capacity": "as many connections as WS_MAX_CONNECTIONS allows",
    "overload": "more CPU or memory in use than WS_CPU_LIMIT and WS_MEMORY_LIMIT allow",
}


async def _no_tickets(ticket: str) -> None:
    return None


def _poll_descriptor(loop: asyncio.AbstractEventLoop) -> int:
    """uvloop's; -1 of a loop that does not tell, which then has to do without what needs it."""
    backend_id = getattr(loop, "_get_backend_id", None)
    return -1 if backend_id is None else int(backend_id())
