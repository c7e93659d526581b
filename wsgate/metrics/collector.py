"""Prometheus metrics, read at scrape time from counters that are kept anyway.

Nothing on the hot path knows of this module: a scrape costs one pass over the connections, and
what is not scraped costs nothing. ``docs/operations.md`` explains every metric; a test keeps it
complete.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Final, Protocol

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from wsgate.auth.identity import Refusal
from wsgate.hub import Hub
from wsgate.metrics.families import Named, by_reason, counter, filled, gauge
from wsgate.sources import Source


class Refuses(Protocol):
    """The upgrade, as far as it is counted here."""

    @property
    def refused(self) -> Mapping[str, int]: ...


class Accepts(Protocol):
    """The acceptor, as far as it is counted here."""

    @property
    def accepted(self) -> int: ...
    @property
    def restarts(self) -> int: ...


class Awaits(Protocol):
    """The handshakes under way, as far as they are counted here."""

    def __len__(self) -> int: ...
    @property
    def expired(self) -> int: ...
    @property
    def shed(self) -> int: ...
    @property
    def refused(self) -> Mapping[str, int]: ...
    @property
    def tls_failed(self) -> int: ...


class Encrypts(Protocol):
    """The certificate in use, as far as it is watched here."""

    @property
    def expires_s(self) -> float: ...
    @property
    def reloads(self) -> int: ...
    @property
    def failures(self) -> int: ...


class Authenticates(Protocol):
    """Who checks tokens, as far as it is counted here."""

    def snapshot(self) -> Mapping[str, int | float]: ...


class Observed(Protocol):
    """What a scrape reads; ``wsgate.app.Gateway`` is one."""

    @property
    def hub(self) -> Hub: ...
    @property
    def upgrade(self) -> Refuses: ...
    @property
    def acceptor(self) -> Accepts: ...
    @property
    def handshakes(self) -> Awaits: ...
    @property
    def tls(self) -> Encrypts | None: ...
    @property
    def authenticator(self) -> Authenticates | None: ...
    @property
    def sources(self) -> Sequence[Source]: ...


TOTALS: Final = {
    "publications": Named(
        "ws_publications", "Publications that sources delivered and the hub accepted."
    ),
    "publications_unwanted": Named(
        "ws_publications_unwanted",
        "Accepted publications that nobody was subscribed to; nothing was encoded for them.",
    ),
    "frames_encoded": Named(
        "ws_frames_encoded", "Publications encoded into a frame, once for all their subscribers."
    ),
    "frames_encoded_bytes": Named("ws_frames_encoded_bytes", "Bytes of the frames encoded."),
    "frames_deflated": Named(
        "ws_frames_deflated", "Publications compressed, once for all who can inflate them."
    ),
    "frames_deflated_bytes": Named("ws_frames_deflated_bytes", "Bytes of the compressed frames."),
    "frames_deflated_saved_bytes": Named(
        "ws_frames_deflated_saved_bytes", "Bytes that the same frames have more uncompressed."
    ),
    "deliveries": Named(
        "ws_messages_sent", "Publications written to connections, one for each that got it."
    ),
    "replies": Named("ws_replies_sent", "Replies, pings, pongs and closes written to connections."),
    "writes": Named("ws_writes", "Write calls to sockets; one carries all that is owed just then."),
    "written_bytes": Named(
        "ws_sent_bytes", "Bytes written to connections, frame headers included."
    ),
    "blocked": Named(
        "ws_writes_blocked", "Writes that the kernel took only in part: the client reads slowly."
    ),
    "conflated": Named(
        "ws_messages_conflated", "State updates replaced by a newer one before they were sent."
    ),
    "gaps": Named("ws_gaps", "Gap messages queued: somebody was told that events are missing."),
    "purged": Named(
        "ws_messages_purged", "Publications owed when their subscription ended, and not sent."
    ),
    "channels_evicted": Named(
        "ws_channels_evicted", "Channels forgotten, the longest unused first, to make room."
    ),
}

BACKLOG: Final = {
    "events_bytes": Named("ws_backlog_bytes", "Bytes of events that connections are owed."),
    "events": Named("ws_backlog_events", "Events that connections are owed."),
    "states": Named("ws_backlog_states", "State values that connections are owed."),
    "blocked_connections": Named(
        "ws_blocked_connections", "Connections whose socket takes no more at the moment."
    ),
}

AUTH_TOTALS: Final = {
    "accepted": Named("ws_auth_accepted", "Tokens and tickets accepted, renewals included."),
    "revocations": Named("ws_auth_revocations", "Subjects that were cut off."),
    "revocations_pushed_out": Named(
        "ws_auth_revocations_pushed_out",
        "Revocations forgotten before their time, to make room for newer ones.",
    ),
    "keys_loads": Named("ws_auth_keys_loads", "Times the keys were looked up without a failure."),
    "keys_failures": Named(
        "ws_auth_keys_failures", "Times the keys could not be had; those in use stay in use."
    ),
    "keys_turned_away": Named(
        "ws_auth_keys_turned_away",
        "Tokens refused unchecked since too many waited for keys already.",
    ),
}
AUTH_LEVELS: Final = {
    "revocations_held": Named("ws_auth_revocations_current", "Subjects remembered as cut off."),
    "keys_keys": Named("ws_auth_keys_current", "Keys that tokens are checked with."),
    "keys_skipped": Named(
        "ws_auth_keys_skipped", "Keys in the document in use that are of no use here."
    ),
    "keys_age_s": Named(
        "ws_auth_keys_age_seconds", "Since the keys were last looked up; -1 before the first time."
    ),
    "keys_failures_in_a_row": Named(
        "ws_auth_keys_failures_in_a_row", "Failures since the keys were last had."
    ),
    "keys_waiting": Named("ws_auth_keys_waiting", "Tokens that wait for newer keys."),
}
AUTH_REFUSALS: Final = {
    "expired": "expired",
    "unavailable": "unavailable",
    **{f"refused_{reason}": str(reason) for reason in Refusal},
}

# Sources report what they have; those that have no such thing are left out of its metric.
SOURCE_TOTALS: Final = {
    "received": Named("ws_feed_messages", "Messages that a source received."),
    "reconnects": Named("ws_feed_reconnects", "Times a source came back after losing its origin."),
    "errors": Named("ws_feed_errors", "Errors of a source, failed attempts to connect included."),
}
SOURCE_LEVELS: Final = {
    "connected": Named("ws_feed_live", "1 while the source receives all that is published."),
    "pending_bytes": Named("ws_feed_pending_bytes", "What has come for a source and is not read."),
    "denied": Named("ws_feed_denied", "Subjects that the origin refuses to deliver."),
}

# So that a rate is known from the first scrape on, and not only from the first occurrence.
CLOSE_REASONS: Final = (
    *("client", "lost", "ping_timeout", "broken", "aged"),
    *("failed_1002", "failed_1003", "failed_1007", "failed_1009", "failed_1011"),
    *("service_restart", "slow_consumer", "too_many_bad_commands", "internal_error"),
    *("bad_token", "token_expired", "token_revoked", "auth_timeout"),
    *("try_again_later", "too_many_commands"),
)
PUBLICATION_REFUSALS: Final = (
    "not_json",
    "too_large",
    "bad_subject",
    "no_rule",
    "too_many_channels",
)
HANDSHAKE_REFUSALS: Final = (
    *("capacity", "overload", "address", "not_a_websocket", "origin", "credentials"),
    *("handshakes", "handshake_rate", "header_too_large", "proxy_header"),
)


def registry(gateway: Observed) -> CollectorRegistry:
    """A registry with everything about this gateway and its process."""
    made = CollectorRegistry()
    made.register(GatewayCollector(gateway))
    ProcessCollector(registry=made)
    PlatformCollector(registry=made)
    GCCollector(registry=made)
    return made


class GatewayCollector(Collector):
    """Reads a gateway whenever it is scraped."""

    def __init__(self, gateway: Observed) -> None:
        self._gateway = gateway
        self._build = {"version": version("wsgate"), "python": platform.python_version()}

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily("ws_build_info", "Versions; always 1.", labels=list(self._build))
        build.add_metric(list(self._build.values()), 1)
        yield build
        yield from self._connections()
        if self._gateway.tls is not None:
            yield from self._tls(self._gateway.tls)
        if self._gateway.authenticator is not None:
            yield from self._auth(self._gateway.authenticator)
        yield from self._core()
        for source_metric in self._sources():
            if source_metric.samples:
                yield source_metric

    def _connections(self) -> Iterator[Metric]:
        hub, upgrade, acceptor = self._gateway.hub, self._gateway.upgrade, self._gateway.acceptor
        handshakes = self._gateway.handshakes
        yield gauge("ws_connections_current", "Open WebSocket connections.", len(hub))
        yield counter("ws_connections", "WebSocket connections opened.", hub.opened_total)
        yield by_reason(
            "ws_connections_closed",
            "WebSocket connections ended, by what ended them first.",
            hub.closed_by_reason,
            CLOSE_REASONS,
        )
        yield counter(
            "ws_commands_put_off",
            "Commands, and reads from clients, that had to wait, so that publications need not.",
            hub.turns.put_off,
        )
        yield counter("ws_sockets_accepted", "TCP connections accepted.", acceptor.accepted)
        yield counter(
            "ws_accept_restarts",
            "Times the accepting server was lost, for want of descriptors, and made anew.",
            acceptor.restarts,
        )
        yield gauge(
            "ws_handshakes_current",
            "Sockets accepted that have not asked for anything yet, or are being refused.",
            len(handshakes),
        )
        yield counter(
            "ws_handshakes_expired",
            "Sockets closed because the handshake took too long.",
            handshakes.expired,
        )
        yield counter(
            "ws_handshakes_shed",
            "Sockets closed before their time, because newer ones needed the room.",
            handshakes.shed,
        )
        yield by_reason(
            "ws_handshakes_refused",
            "Sockets and requests answered with an error instead of an upgrade.",
            {**handshakes.refused, **upgrade.refused},
            HANDSHAKE_REFUSALS,
        )

    def _tls(self, tls: Encrypts) -> Iterator[Metric]:
        yield counter(
            "ws_tls_handshakes_failed",
            "Sockets that ended before TLS was agreed on, those that took too long not counted.",
            self._gateway.handshakes.tls_failed,
        )
        yield gauge(
            "ws_tls_certificate_expires_timestamp_seconds",
            "When the certificate in use expires, in seconds since 1970.",
            tls.expires_s,
        )
        yield counter("ws_tls_reloads", "Renewed certificates that were taken up.", tls.reloads)
        yield counter(
            "ws_tls_reload_failures",
            "Renewed certificates that could not be used; the one before stays in use.",
            tls.failures,
        )

    def _auth(self, authenticator: Authenticates) -> Iterator[Metric]:
        found = authenticator.snapshot()
        yield by_reason(
            "ws_auth_refused",
            "Tokens and tickets refused; unavailable: without the keys, nobody can tell.",
            {reason: int(found[key]) for key, reason in AUTH_REFUSALS.items()},
        )
        for key, named in AUTH_TOTALS.items():
            yield counter(named.name, named.help, found[key])
        yield counter(
            "ws_auth_revocations_refused",
            "Messages that should have cut somebody off, and could not be understood.",
            self._gateway.hub.controls_refused,
        )
        for key, named in AUTH_LEVELS.items():
            yield gauge(named.name, named.help, found[key])

    def _core(self) -> Iterator[Metric]:
        core = self._gateway.hub.core
        yield gauge(
            "ws_subscriptions_current",
            "Subscriptions of all connections.",
            core.index.subscriptions,
        )
        yield gauge("ws_channels_current", "Channels that are remembered.", core.channels.count)
        totals = core.counters.snapshot()
        for key, named in TOTALS.items():
            yield counter(named.name, named.help, totals[key])
        yield by_reason(
            "ws_messages_dropped",
            "Events that connections should have got and did not; each is covered by a gap.",
            {"overflow": totals["dropped"]},
        )
        yield by_reason(
            "ws_publications_refused",
            "Publications from sources that the hub did not accept.",
            self._gateway.hub.refused,
            PUBLICATION_REFUSALS,
        )
        backlog = core.delivery.backlog()
        for key, named in BACKLOG.items():
            yield gauge(named.name, named.help, backlog[key])

    def _sources(self) -> Iterator[Metric]:
        snapshots = [(source.name, source.snapshot()) for source in self._gateway.sources]
        for key, named in SOURCE_TOTALS.items():
            total = CounterMetricFamily(*named, labels=["source"])
            yield filled(total, key, snapshots)
        for key, named in SOURCE_LEVELS.items():
            level = GaugeMetricFamily(*named, labels=["source"])
            yield filled(level, key, snapshots)
