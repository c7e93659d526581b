from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvloop
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from wsgate.auth import authenticator as auth
from wsgate.auth.keys import KeySource
from wsgate.auth.keyset import from_secret
from wsgate.auth.origins import Given
from wsgate.auth.permissions import NOTHING
from wsgate.auth.verifier import TokenOptions
from wsgate.core.sink import PythonSink
from wsgate.hub import Hub
from wsgate.limits import Limits
from wsgate.metrics.collector import GatewayCollector, registry
from wsgate.metrics.collector import collector as metrics
from wsgate.protocol import CloseCode
from wsgate.rules import DEFAULT_RULES
from wsgate.sources import Source
from wsgate.sources.local import LocalSource

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "operations.md"

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
        keys = [*metrics.SOURCE_TOTALS, *metrics.SOURCE_LEVELS]
        return {"server": "nats://x", **{key: place for place, key in enumerate(keys, 1)}}


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


class Authenticator:
    """One that counted everything there is to count."""

    def __init__(self) -> None:
        keys = [*metrics.AUTH_REFUSALS, *metrics.AUTH_TOTALS, *metrics.AUTH_LEVELS]
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
    tls: Tls | None = field(default_factory=Tls)
    authenticator: Authenticator | None = field(default_factory=Authenticator)


class Client:
    handle = 0
    window_bits = 0
    credential = None
    end_reason: str | None = None
    address_group: str | None = None
    peer = "somebody"
    session: Any = None


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


async def flushed(hub: Hub) -> None:
    while hub.core.delivery.dirty_count or hub.core.owes_publications:
        await asyncio.sleep(0)


def subscribe(hub: Hub, channel: str) -> Client:
    client = Client()
    hub.opened(client)  # type: ignore[arg-type]
    hub.received(client, b'{"type":"subscribe","channels":["%s"]}' % channel.encode())  # type: ignore[arg-type]
    return client


def test_what_happens_is_counted() -> None:
    async def test(gateway: Gateway, sink: Socket) -> None:
        hub = gateway.hub
        clients = [subscribe(hub, "token.a.comment") for _ in range(3)]
        subscribe(hub, "token.*.comment")
        assert hub.publish("token.a.comment", b"{}")
        assert hub.publish("token.b.update", b"{}")
        assert not hub.publish("token.a.comment", b"{")
        assert not hub.publish("elsewhere", b"{}")
        await flushed(hub)
        hub.lost(clients[0])  # type: ignore[arg-type]
        gateway.upgrade.refused["capacity"] = 7
        gateway.acceptor.accepted, gateway.acceptor.restarts = 11, 2
        gateway.handshakes.expired, gateway.handshakes.under_way = 5, 3
        gateway.hub.turns.put_off = 6
        gateway.handshakes.shed, gateway.handshakes.refused["handshakes"] = 9, 8

        seen = scrape(gateway)
        assert seen["ws_connections_current", ()] == 3
        assert seen["ws_connections_total", ()] == 4
        assert seen["ws_connections_closed_total", (("reason", "lost"),)] == 1
        assert seen["ws_connections_closed_total", (("reason", "slow_consumer"),)] == 0
        assert seen["ws_commands_put_off_total", ()] == 6
        assert seen["ws_sockets_accepted_total", ()] == 11
        assert seen["ws_accept_restarts_total", ()] == 2
        assert seen["ws_handshakes_refused_total", (("reason", "capacity"),)] == 7
        assert seen["ws_handshakes_refused_total", (("reason", "handshakes"),)] == 8
        assert seen["ws_handshakes_expired_total", ()] == 5
        assert seen["ws_handshakes_shed_total", ()] == 9
        assert seen["ws_handshakes_current", ()] == 3
        assert seen["ws_handshakes_refused_total", (("reason", "not_a_websocket"),)] == 0
        assert seen["ws_subscriptions_current", ()] == 3
        assert seen["ws_channels_current", ()] == 2
        assert seen["ws_publications_total", ()] == 2
        assert seen["ws_publications_unwanted_total", ()] == 1
        assert seen["ws_publications_refused_total", (("reason", "not_json"),)] == 1
        assert seen["ws_publications_refused_total", (("reason", "no_rule"),)] == 1
        assert seen["ws_publications_refused_total", (("reason", "too_large"),)] == 0
        assert seen["ws_messages_sent_total", ()] == 4
        assert seen["ws_replies_sent_total", ()] == 4
        assert seen["ws_sent_bytes_total", ()] > 4 * len(b"{}")
        assert seen["ws_messages_dropped_total", (("reason", "overflow"),)] == 0
        assert seen["process_open_fds", ()] > 0
        assert any(name == "python_info" for name, _ in seen)

    with_gateway(test)


def test_what_is_owed_is_a_level() -> None:
    async def test(gateway: Gateway, sink: Socket) -> None:
        hub = gateway.hub
        event, state = subscribe(hub, "token.a.comment"), subscribe(hub, "token.a.update")
        await flushed(hub)
        sink.full = True
        for number in b"123":
            hub.publish("token.a.comment", b"[%d]" % number)
            hub.publish("token.a.update", b"[%d]" % number)
            await flushed(hub)

        seen = scrape(gateway)
        assert seen["ws_blocked_connections", ()] == 2
        assert seen["ws_writes_blocked_total", ()] == 2
        assert seen["ws_backlog_events", ()] == 2
        assert seen["ws_backlog_bytes", ()] > 0
        assert seen["ws_backlog_states", ()] == 1
        assert seen["ws_messages_conflated_total", ()] == 1

        for client in (event, state):
            hub.lost(client)  # type: ignore[arg-type]
        seen = scrape(gateway)
        assert seen["ws_backlog_events", ()] == seen["ws_backlog_states", ()] == 0
        assert seen["ws_blocked_connections", ()] == 0

    with_gateway(test)


def test_sources_report_what_they_have() -> None:
    async def test(gateway: Gateway, sink: Socket) -> None:
        nats, local = (("source", "nats"),), (("source", "local"),)
        seen = scrape(gateway)
        assert seen["ws_feed_live", local] == 0
        assert seen["ws_feed_messages_total", nats] == 1
        assert ("ws_feed_reconnects_total", local) not in seen
        for place, named in enumerate(metrics.SOURCE_TOTALS.values(), 1):
            assert seen[f"{named.name}_total", nats] == place
        for place, named in enumerate(
            metrics.SOURCE_LEVELS.values(), len(metrics.SOURCE_TOTALS) + 1
        ):
            assert seen[named.name, nats] == place

        await gateway.sources[1].start()
        gateway.hub.publish("token.a.update", b"{}")
        assert scrape(gateway)["ws_feed_live", local] == 1

        gateway.sources.clear()
        assert not any(name.startswith("ws_feed") for name, _ in scrape(gateway))

    with_gateway(test)


def test_tls_is_reported_where_there_is_any() -> None:
    async def test(gateway: Gateway, sink: Socket) -> None:
        gateway.handshakes.tls_failed = 6
        seen = scrape(gateway)
        assert seen["ws_tls_handshakes_failed_total", ()] == 6
        assert seen["ws_tls_certificate_expires_timestamp_seconds", ()] == 2e9
        assert seen["ws_tls_reloads_total", ()] == 3
        assert seen["ws_tls_reload_failures_total", ()] == 4

        gateway.tls = None
        assert not any(name.startswith("ws_tls") for name, _ in scrape(gateway))

    with_gateway(test)


def test_authentication_is_reported_where_there_is_any() -> None:
    async def test(gateway: Gateway, sink: Socket) -> None:
        assert gateway.authenticator is not None
        counts = gateway.authenticator.counts
        gateway.hub.control("wsgate.control.revoke", b"nonsense")
        seen = scrape(gateway)
        for key, reason in metrics.AUTH_REFUSALS.items():
            assert seen["ws_auth_refused_total", (("reason", reason),)] == counts[key]
        for key, named in metrics.AUTH_TOTALS.items():
            assert seen[f"{named.name}_total", ()] == counts[key]
        for key, named in metrics.AUTH_LEVELS.items():
            assert seen[named.name, ()] == counts[key]
        assert seen["ws_auth_revocations_refused_total", ()] == 1

        gateway.authenticator = None
        assert not any(name.startswith("ws_auth") for name, _ in scrape(gateway))

    with_gateway(test)


def test_everything_that_authentication_counts_is_a_metric() -> None:
    async def test(gateway: Gateway, sink: Socket) -> None:
        real = auth.Authenticator(
            KeySource(Given(from_secret("x" * 32))), TokenOptions(permissions_default=NOTHING)
        )
        assert set(real.snapshot()) == {
            *metrics.AUTH_REFUSALS,
            *metrics.AUTH_TOTALS,
            *metrics.AUTH_LEVELS,
        }

    with_gateway(test)


def test_every_total_of_the_core_is_a_metric() -> None:
    async def test(gateway: Gateway, sink: Socket) -> None:
        assert set(gateway.hub.core.counters.snapshot()) == {*metrics.TOTALS, "dropped"}
        assert set(gateway.hub.core.delivery.backlog()) == set(metrics.BACKLOG)

    with_gateway(test)


def documented() -> Iterator[tuple[str, str]]:
    lines = PAGE.read_text().splitlines()
    for line in lines[lines.index("| metric | what it is |") + 2 :]:
        if not line.startswith("|"):
            return
        name, text = line.strip("| ").split(" | ", 1)
        yield name.strip("`"), text


def collected(gateway: Gateway) -> list[tuple[str, str]]:
    """Each metric as the page has it: the name with its labels, and the help."""
    found = []
    for family in GatewayCollector(gateway).collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(family.samples[0].labels)
        found.append((f"{name}{{{labels}}}" if labels else name, family.documentation))
    return found


def test_the_page_explains_every_metric() -> None:
    async def test(gateway: Gateway, sink: Socket) -> None:
        assert list(documented()) == collected(gateway)

    with_gateway(test)


def test_names_and_texts_follow_the_conventions() -> None:
    async def test(gateway: Gateway, sink: Socket) -> None:
        rows = collected(gateway)
        assert len({name for name, _ in rows}) == len(rows)
        for name, text in rows:
            assert re.match(r"ws_[a-z_]+", name)
            assert text.endswith(".")

    with_gateway(test)


@pytest.mark.parametrize(
    ("module", "call", "known"),
    [
        ("intake.py", r"self\._refuse\(\s*\"(\w+)\"", metrics.PUBLICATION_REFUSALS),
        ("hub.py", r"self\._note_end\(\s*\w+,\s*\"(\w+)\"", metrics.CLOSE_REASONS),
        ("hub.py", r"self\._end\(\s*\w+,\s*CloseCode\.(\w+)", metrics.CLOSE_REASONS),
        ("login.py", r"lock_out\(\s*\w+,\s*CloseCode\.(\w+)", metrics.CLOSE_REASONS),
        ("login.py", r"return CloseCode\.(\w+)", metrics.CLOSE_REASONS),
        ("upgrade.py", r"self\._refuse\(\s*[\w.]+,\s*\"(\w+)\"", metrics.HANDSHAKE_REFUSALS),
    ],
)
def test_reasons_in_the_code_are_known_from_the_start(
    module: str, call: str, known: tuple[str, ...]
) -> None:
    reasons = re.findall(call, (ROOT / "wsgate" / module).read_text())
    assert reasons
    for reason in reasons:
        assert (CloseCode[reason].reason if reason.isupper() else reason) in known
