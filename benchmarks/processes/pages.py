"""/metrics over time: whether a counter ever goes back without saying why."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.fanout.gateway import Gateway

Series = tuple[str, tuple[tuple[str, str], ...]]
OF_NOW = "it can go down"
"""What the help of a histogram says that is counted anew for each scrape."""


@dataclass
class Page:
    at_s: float
    counters: dict[Series, float] = field(default_factory=dict)
    """Buckets, counts and sums of histograms are counters, too."""
    gauges: dict[Series, float] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str, at_s: float) -> Page:
        page = cls(at_s)
        for family in text_string_to_metric_families(text):
            counts = family.type in ("counter", "histogram") and OF_NOW not in family.documentation
            into = page.counters if counts else page.gauges
            for sample in family.samples:
                into[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
        return page

    def of_workers(self, name: str) -> dict[str, float]:
        """The value of each worker, by its number."""
        found: dict[str, float] = {}
        for values in (self.counters, self.gauges):
            for (sample, labels), value in values.items():
                worker = dict(labels).get("worker", "")
                if sample == name and worker.isdigit():
                    found[worker] = found.get(worker, 0.0) + value
        return found

    def total(self, name: str) -> float:
        values = {**self.counters, **self.gauges}
        return sum(value for (sample, _), value in values.items() if sample == name)

    def started_s(self, series: Series) -> float | None:
        """When the process began that this is a series of."""
        labels = tuple(pair for pair in series[1] if pair[0] == "worker")
        return self.gauges.get(("process_start_time_seconds", labels)) if labels else None


@dataclass
class Resets:
    said: int = 0
    """Series that began anew, and those of another process they were."""
    unsaid: list[str] = field(default_factory=list)


def resets(pages: Sequence[Page]) -> Resets:
    """A series may be missing from a page: it is compared with when it was last seen."""
    found = Resets()
    last: dict[Series, tuple[float, float | None]] = {}
    for page in pages:
        for series, value in page.counters.items():
            started_s = page.started_s(series)
            before = last.get(series)
            last[series] = value, started_s
            if before is None or value >= before[0]:
                continue
            if started_s == before[1]:
                found.unsaid.append(f"{series[0]}{dict(series[1])}: {before[0]:g} to {value:g}")
            else:
                found.said += 1
    return found


class Watch:
    """Scrapes, a few times a second, and keeps what it got; parsing comes when it is over."""

    def __init__(self, gateway: Gateway, per_s: float) -> None:
        self._gateway = gateway
        self._interval_s = 1 / per_s
        self._texts: list[tuple[float, str]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.failures = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def pages(self) -> list[Page]:
        return [Page.of(text, at_s) for at_s, text in list(self._texts)]

    def _look(self) -> None:
        while not self._over.is_set():
            began_s = time.monotonic()
            try:
                text = self._gateway.page()
                self._texts.append((time.monotonic(), text))
            except OSError:
                self.failures += 1
            self._over.wait(max(0.0, began_s + self._interval_s - time.monotonic()))


@contextmanager
def watching(gateway: Gateway, per_s: float) -> Iterator[Watch]:
    watch = Watch(gateway, per_s)
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()


def page(gateway: Gateway) -> Page:
    """As it is now."""
    return Page.of(gateway.page(), time.monotonic())
