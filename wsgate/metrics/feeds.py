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
    "restored": Named(
        "ws_feed_restored", "Publications from before, read from streams at a start."
    ),
    "repeated": Named(
        "ws_feed_repeated", "Publications that a stream sent again, and were ignored."
    ),
    "replays": Named("ws_feed_replays", "Times a stream was asked what a client had missed."),
    "replays_failed": Named(
        "ws_feed_replays_failed", "Of such questions those that had no whole answer."
    ),
}
LEVELS: Final = {
    "connected": Named("ws_feed_live", "1 while the source receives all that is published."),
    "pending_bytes": Named("ws_feed_pending_bytes", "What has come for a source and is not read."),
    "streams": Named("ws_feed_streams", "Streams that subjects are taken from."),
    "denied": Named("ws_feed_denied", "Subjects that the origin refuses to deliver."),
}

# Told by the source as "key.value", with the value of one more label.
TOTALS_BY: Final = {
    ("resets", "reason"): Named(
        "ws_feed_stream_resets", "Times a stream had to be asked anew, and why."
    ),
}
LEVELS_BY: Final = {
    ("stream_seq", "stream"): Named(
        "ws_feed_stream_seq", "Up to here a stream was handed over: its sequence."
    ),
}


def feed_metrics(sources: Sequence[Source]) -> Iterator[Metric]:
    snapshots = [(source.name, source.snapshot()) for source in sources]
    for family_type, known in ((CounterMetricFamily, TOTALS), (GaugeMetricFamily, LEVELS)):
        for key, named in known.items():
            family = filled(family_type(*named, labels=["source"]), key, snapshots)
            if family.samples:
                yield family
    for by_type, known_by in ((CounterMetricFamily, TOTALS_BY), (GaugeMetricFamily, LEVELS_BY)):
        for (key, label), named in known_by.items():
            family = by_type(*named, labels=["source", label])
            for source, snapshot in snapshots:
                for name, value in snapshot.items():
                    if name.startswith(f"{key}."):
                        family.add_metric([source, name.removeprefix(f"{key}.")], float(value))
            if family.samples:
                yield family
