"""Metrics of sources. Each reports what it has; those without such a thing are left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from wsgate.metrics.families import Named, filled
from wsgate.sources import Source

TOTALS: Final = {
    "received": Named("ws_feed_messages", "Messages that a source received."),
    "reconnects": Named("ws_feed_reconnects", "Times a source came back after losing its origin."),
    "errors": Named("ws_feed_errors", "Errors of a source, failed attempts to connect included."),
}
LEVELS: Final = {
    "connected": Named("ws_feed_live", "1 while the source receives all that is published."),
    "pending_bytes": Named("ws_feed_pending_bytes", "What has come for a source and is not read."),
    "denied": Named("ws_feed_denied", "Subjects that the origin refuses to deliver."),
}


def feed_metrics(sources: Sequence[Source]) -> Iterator[Metric]:
    snapshots = [(source.name, source.snapshot()) for source in sources]
    for family_type, known in ((CounterMetricFamily, TOTALS), (GaugeMetricFamily, LEVELS)):
        for key, named in known.items():
            family = filled(family_type(*named, labels=["source"]), key, snapshots)
            if family.samples:
                yield family
