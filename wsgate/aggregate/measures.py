"""Metrics of the aggregator, read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from wsgate.aggregate.aggregator import REFUSALS, Aggregator
from wsgate.metrics.families import by_reason, counter, counters, gauge, gauges, histogram
from wsgate.metrics.feeds import feed_metrics
from wsgate.metrics.process import process_registry
from wsgate.sources import Source


def registry(aggregator: Aggregator, source: Source) -> CollectorRegistry:
    made = process_registry()
    made.register(AggregatorCollector(aggregator, source))
    return made


class AggregatorCollector(Collector):
    def __init__(self, aggregator: Aggregator, source: Source) -> None:
        self._aggregator = aggregator
        self._source = source

    def collect(self) -> Iterator[Metric]:
        yield from aggregate_metrics(self._aggregator)
        yield from feed_metrics([self._source])


def aggregate_metrics(aggregator: Aggregator) -> Iterator[Metric]:
    states, events, outgoing = aggregator.states, aggregator.events, aggregator.outgoing
    yield counters(
        "ws_aggregate_republished",
        "Publications republished: values of state, and events that were passed on.",
        "kind",
        {"state": states.republished, "event": events.passed},
    )
    yield counter(
        "ws_aggregate_conflated",
        "Values of state that a newer one took the place of, before they were republished.",
        states.conflated,
    )
    yield counter(
        "ws_aggregate_dropped",
        "Events dropped past WS_AGGREGATE_MAX_BACKLOG_BYTES, since NATS took none.",
        events.dropped,
    )
    yield by_reason(
        "ws_aggregate_refused",
        "Raw publications that no gateway would accept, and that were not republished.",
        aggregator.refused,
        REFUSALS,
    )
    yield counter(
        "ws_aggregate_gaps", "Times gateways were told that publications are missing.", events.gaps
    )
    yield gauges(
        "ws_aggregate_held",
        "Publications that wait: for the end of a window, or until NATS takes more.",
        "kind",
        {"state": states.held, "event": events.held},
    )
    yield gauge("ws_aggregate_backlog_bytes", "Bytes of the events held.", events.backlog_bytes)
    yield gauge(
        "ws_aggregate_open",
        "1 while NATS takes what is republished; 0 if it is away or slow.",
        outgoing.open,
    )
    yield gauge("ws_aggregate_channels", "Channels that are remembered.", aggregator.channels)
    yield counter("ws_aggregate_writes", "Writes to NATS; one carries many.", outgoing.writes)
    yield counter("ws_aggregate_sent_bytes", "Bytes written to NATS.", outgoing.written_bytes)
    yield histogram(
        "ws_aggregate_lag_seconds",
        "Once for each write: how long what waited longest in it did so since it came or, if a"
        " window held it back, since that was over.",
        aggregator.lag,
    )
