"""Metrics of all workers as those of one target: each sample gets its worker as a label."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client.core import Metric

Plain = list[Any]
"""A family as ``wsgate.metrics.plain`` makes it: name, help, type, and samples."""


class Merged:
    """``families`` of each process, under the name that becomes its label; ``own`` as they are."""

    def __init__(
        self, families: Iterable[tuple[str, Iterable[Plain]]], own: Iterable[Metric]
    ) -> None:
        self._families = families
        self._own = own

    def collect(self) -> Iterator[Metric]:
        found: dict[str, Metric] = {}
        for worker, plains in self._families:
            for name, help, type, samples in plains:
                metric = found.get(name)
                if metric is None:
                    metric = found[name] = Metric(name, help, type)
                for sample_name, labels, value in samples:
                    metric.add_sample(sample_name, {**labels, "worker": worker}, value)
        yield from self._own
        yield from found.values()
