"""Metrics of connections: how they begin, what they cost until they are, how they end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import Metric

from wsgate.histogram import Histogram
from wsgate.metrics.families import by_reason, counter, gauge, histogram
from wsgate.metrics.observed import Awaits, Encrypts, Observed

SUBSCRIPTIONS: Final = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

# So that a rate is known from the first scrape on, and not only from the first occurrence.
CLOSE_REASONS: Final = (
    *("client", "lost", "ping_timeout", "broken", "aged"),
    *("failed_1002", "failed_1003", "failed_1007", "failed_1009", "failed_1011"),
    *("service_restart", "slow_consumer", "too_many_bad_commands", "internal_error"),
    *("bad_token", "token_expired", "token_revoked", "auth_timeout"),
    *("try_again_later", "too_many_commands"),
)
HANDSHAKE_REFUSALS: Final = (
    *("capacity", "overload", "address", "not_a_websocket", "origin", "credentials"),
    *("handshakes", "handshake_rate", "header_too_large", "proxy_header"),
)


def connection_metrics(gateway: Observed) -> Iterator[Metric]:
    hub, handshakes = gateway.hub, gateway.handshakes
    yield gauge("ws_connections_current", "Open WebSocket connections.", len(hub))
    yield counter("ws_connections", "WebSocket connections opened.", hub.opened_total)
    yield by_reason(
        "ws_connections_closed",
        "WebSocket connections ended, by what ended them first.",
        hub.closed_by_reason,
        CLOSE_REASONS,
    )
    yield histogram(
        "ws_connection_duration_seconds",
        "How long connections were open that have ended.",
        hub.durations,
    )
    yield histogram(
        "ws_subscriptions_per_client",
        "Subscriptions of each open connection, as it is now; it can go down.",
        Histogram.counted(SUBSCRIPTIONS, *hub.core.subscriptions_per_connection(SUBSCRIPTIONS)),
    )
    yield counter(
        "ws_commands_put_off",
        "Commands, and reads from clients, that had to wait, so that publications need not.",
        hub.turns.put_off,
    )
    yield counter("ws_sockets_accepted", "TCP connections accepted.", gateway.acceptor.accepted)
    yield counter(
        "ws_accept_restarts",
        "Times the accepting server was lost, for want of descriptors, and made anew.",
        gateway.acceptor.restarts,
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
        {**handshakes.refused, **gateway.upgrade.refused},
        HANDSHAKE_REFUSALS,
    )


def tls_metrics(tls: Encrypts, handshakes: Awaits) -> Iterator[Metric]:
    yield counter(
        "ws_tls_handshakes_failed",
        "Sockets that ended before TLS was agreed on, those that took too long not counted.",
        handshakes.tls_failed,
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
