"""Metrics of what keeps a worker's event loop from going on."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from wsgate.hub import Hub
from wsgate.metrics.families import histogram, histograms
from wsgate.metrics.observed import Stalled


def stall_metrics(stalls: Stalled, hub: Hub) -> Iterator[Metric]:
    yield histogram(
        "ws_event_loop_lag_seconds",
        "How late the event loop called a timer, looked at ten times a second.",
        stalls.lag,
    )
    yield histogram(
        "ws_flush_slice_seconds",
        "How long a slice of a flush took, the loop doing nothing else.",
        hub.slices,
    )
    yield histograms(
        "ws_gc_pause_seconds",
        "How long a collection of garbage took, the process doing nothing else.",
        "generation",
        {str(generation): found for generation, found in enumerate(stalls.pauses)},
    )
