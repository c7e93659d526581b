"""Metric families: short ways to make them, and their way to another process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from itertools import accumulate
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.utils import floatToGoString

from wsgate.histogram import Histogram


class Named(NamedTuple):
    name: str
    help: str


def plain(made: CollectorRegistry) -> list[Any]:
    """All in a registry, for another process: name, help, type and samples of each family."""
    return [
        [
            family.name,
            family.documentation,
            family.type,
            [[sample.name, sample.labels, sample.value] for sample in family.samples],
        ]
        for family in made.collect()
    ]


def gauge(name: str, help: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help, value=value)


def counter(name: str, help: str, value: float) -> Metric:
    return CounterMetricFamily(name, help, value=value)


def counters(name: str, help: str, label: str, totals: Mapping[str, float]) -> Metric:
    """One for each value of the label."""
    family = CounterMetricFamily(name, help, labels=[label])
    for value, total in totals.items():
        family.add_metric([value], total)
    return family


def gauges(name: str, help: str, label: str, levels: Mapping[str, float]) -> Metric:
    """One for each value of the label."""
    family = GaugeMetricFamily(name, help, labels=[label])
    for value, level in levels.items():
        family.add_metric([value], level)
    return family


def by_reason(name: str, help: str, totals: Mapping[str, int], known: Iterable[str] = ()) -> Metric:
    """Those of ``known`` that have not happened are there too, as 0."""
    return counters(name, help, "reason", {**dict.fromkeys(known, 0), **totals})


def histogram(name: str, help: str, found: Histogram) -> Metric:
    return HistogramMetricFamily(name, help, buckets=_buckets(found), sum_value=found.sum)


def histograms(name: str, help: str, label: str, found: Mapping[str, Histogram]) -> Metric:
    """One for each value of the label."""
    family = HistogramMetricFamily(name, help, labels=[label])
    for value, one in found.items():
        family.add_metric([value], _buckets(one), one.sum)
    return family


def _buckets(found: Histogram) -> list[tuple[str, float]]:
    """Each bound, as Prometheus writes it, with how many are up to it."""
    return list(zip(_bounds(found.bounds), accumulate(found.counts), strict=True))


@cache  # there are a handful, and they never change
def _bounds(bounds: tuple[float, ...]) -> list[str]:
    return [*map(floatToGoString, bounds), "+Inf"]


def filled(
    family: CounterMetricFamily | GaugeMetricFamily,
    key: str,
    snapshots: Iterable[tuple[str, Mapping[str, int | float | str]]],
) -> Metric:
    """The family with a sample from every source that reports this key."""
    for name, snapshot in snapshots:
        if key in snapshot:
            family.add_metric([name], float(snapshot[key]))
    return family
