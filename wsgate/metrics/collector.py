"""Prometheus metrics, read at scrape time from counters that are kept anyway.

Nothing on the hot path knows of this package: a scrape costs a pass over the connections and one
over the channels, both compiled, and what is not scraped costs nothing. ``docs/operations.md``
explains every metric; a test keeps it complete.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import version

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from wsgate.metrics.auth import auth_metrics
from wsgate.metrics.connections import connection_metrics, tls_metrics
from wsgate.metrics.feeds import feed_metrics
from wsgate.metrics.observed import Observed
from wsgate.metrics.process import process_registry
from wsgate.metrics.publications import publication_metrics
from wsgate.metrics.stalls import stall_metrics


def registry(gateway: Observed) -> CollectorRegistry:
    """A registry with everything about this gateway and its process."""
    made = process_registry()
    made.register(GatewayCollector(gateway))
    return made


class GatewayCollector(Collector):
    """Reads a gateway whenever it is scraped."""

    def __init__(self, gateway: Observed) -> None:
        self._gateway = gateway
        self._build = {"version": version("wsgate"), "python": platform.python_version()}

    def collect(self) -> Iterator[Metric]:
        gateway = self._gateway
        build = GaugeMetricFamily("ws_build_info", "Versions; always 1.", labels=list(self._build))
        build.add_metric(list(self._build.values()), 1)
        yield build
        yield from connection_metrics(gateway)
        if gateway.tls is not None:
            yield from tls_metrics(gateway.tls, gateway.handshakes)
        if gateway.authenticator is not None:
            yield from auth_metrics(gateway.authenticator, gateway.hub)
        yield from publication_metrics(gateway.hub)
        yield from feed_metrics(gateway.sources)
        yield from stall_metrics(gateway.stalls, gateway.hub)
