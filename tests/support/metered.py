"""A gateway to be scraped: the real hub on a sink of the test's, and stand-ins for the rest."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import uvloop
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from wsgate.core.sink import PythonSink
from wsgate.histogram import Histogram
from wsgate.hub import Hub
from wsgate.limits import Limits
from wsgate.metrics import auth as auth_metrics
from wsgate.metrics import feeds
from wsgate.metrics.collector import registry
from wsgate.rules import DEFAULT_RULES, Rule
from wsgate.sources import Source
from wsgate.sources.local import LocalSource

Samples = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]


class Socket(PythonSink):
    """Takes everything unless told to take nothing."""

    full = False

    def on_send(self, slot: int, parts: list[bytes]) -> int:
        return 0 if self.full else sum(map(len, parts))

    def on_carry(self, slot: int, rest: bytes) -> int:
        return 1


class NatsLike:
    """A source that reports all there is to report."""

    name = "nats"
    connected = True

    async def start(self) -> None: ...
    async def stop(self) -> None: ...

    def snapshot(self) -> dict[str, int | float | str]:
        keys = [*feeds.TOTALS, *feeds.LEVELS]
        return {
            "server": "nats://x",
            **{key: place for place, key in enumerate(keys, 1)},
            "resets.silent": 7,
            "stream_seq.TOKENS": 8,
        }


@dataclass
class Upgrade:
    refused: dict[str, int] = field(default_factory=dict)


@dataclass
class Acceptor:
    accepted: int = 0
    restarts: int = 0


@dataclass
class Handshakes:
    expired: int = 0
    under_way: int = 0
    tls_failed: int = 0
    shed: int = 0
    refused: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.under_way


@dataclass
class Tls:
    expires_s: float = 2e9
    reloads: int = 3
    failures: int = 4


@dataclass
class Stalls:
    lag: Histogram = field(default_factory=lambda: Histogram((0.001, 0.1)))
    pauses: list[Histogram] = field(default_factory=lambda: [Histogram((0.01,)) for _ in range(3)])


class Authenticator:
    """One that counted everything there is to count."""

    def __init__(self) -> None:
        keys = [*auth_metrics.REFUSALS, *auth_metrics.TOTALS, *auth_metrics.LEVELS]
        self.counts = {key: place for place, key in enumerate(keys, 1)}

    def snapshot(self) -> dict[str, int | float]:
        return dict(self.counts)


@dataclass
class Gateway:
    hub: Hub
    sources: list[Source]
    upgrade: Upgrade = field(default_factory=Upgrade)
    acceptor: Acceptor = field(default_factory=Acceptor)
    handshakes: Handshakes = field(default_factory=Handshakes)
    stalls: Stalls = field(default_factory=Stalls)
    tls: Tls | None = field(default_factory=Tls)
    authenticator: Authenticator | None = field(default_factory=Authenticator)


class Client:
    handle = 0
    opened_ms = 0
    window_bits = 0
    speaks_delta = False
    credential = None
    end_reason: str | None = None
    address_group: str | None = None
    peer = "somebody"
    session: Any = None
    established = True
    sent_away = False
    held_back = False
    messages = 0
    traffic = (0, 0)

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


def with_gateway(test: Callable[[Gateway, Socket], Coroutine[Any, Any, None]]) -> None:
    """Run a test with the real hub on a sink of our own."""

    async def run() -> None:
        sink = Socket()
        hub = Hub(sink, DEFAULT_RULES, Limits())
        try:
            await test(Gateway(hub, [NatsLike(), LocalSource(hub)]), sink)
        finally:
            await hub.stop()

    uvloop.run(asyncio.wait_for(run(), 20))


def scrape(gateway: Gateway) -> Samples:
    text = generate_latest(registry(gateway)).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def rule(of: Rule) -> tuple[tuple[str, str], ...]:
    return (("subject", of.subject), ("type", of.type))


async def flushed(hub: Hub) -> None:
    while hub.core.delivery.dirty_count or hub.core.owes_publications:
        await asyncio.sleep(0)


async def subscribe(hub: Hub, *channels: str) -> Client:
    client = Client()
    hub.opened(client)  # type: ignore[arg-type]
    await subscribe_also(hub, client, *channels)
    return client


async def subscribe_also(hub: Hub, client: Client, *channels: str) -> None:
    """Return when it is done, which on a busy machine is not in this round of the loop."""
    command = {"type": "subscribe", "channels": channels}
    hub.received(client, json.dumps(command).encode())  # type: ignore[arg-type]
    while len(hub.turns):
        await asyncio.sleep(0)
