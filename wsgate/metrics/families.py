"""Metric families: short ways to make them, and their way to another process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric


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


def by_reason(
    name: str, help: str, totals: Mapping[str, int], known: Iterable[str] = ()
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, help, labels=["reason"])
    for reason, total in {**dict.fromkeys(known, 0), **totals}.items():
        family.add_metric([reason], total)
    return family


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
