"""What a gateway says of itself at one moment: its metrics, and its busiest channels."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from prometheus_client.parser import text_string_to_metric_families

from wsgate.tools.admin_port import AdminPort, Answer, Unreachable

TIMEOUT_S: Final = 5.0
CHANNELS_SHOWN: Final = 10
WORKER: Final = "worker"  # the label that says whose a sample is

Labels = frozenset[tuple[str, str]]


class Samples:
    """Those of one process, or of the gateway as a whole: values by name and labels."""

    def __init__(self) -> None:
        self._by_name: dict[str, dict[Labels, float]] = {}

    def add(self, name: str, labels: Labels, value: float) -> None:
        self._by_name.setdefault(name, {})[labels] = value

    def of(self, name: str) -> Mapping[Labels, float]:
        return self._by_name.get(name, {})

    def total(self, name: str) -> float:
        """Over all labels; 0 if there is none."""
        return sum(self.of(name).values())


@dataclass(frozen=True, slots=True)
class Scrape:
    """``taken_s`` is by a clock that only goes forward."""

    taken_s: float
    gateway: Samples
    processes: Mapping[str, Samples]
    """By the label "worker": "0", "1", ..., and "supervisor"."""
    channels: tuple[Mapping[str, Any], ...] | None
    """None of a gateway that does not tell."""


def scrape(admin_port: AdminPort) -> Scrape:
    """Ask once. Raises Unreachable."""
    metrics = admin_port.get("/metrics", TIMEOUT_S)
    taken_s = time.monotonic()
    try:
        if metrics.status != 200:
            raise ValueError(f"it answers {metrics.status}")
        gateway, processes = sort_samples(metrics.body.decode())
    except ValueError as error:
        raise Unreachable(f"{admin_port.url}/metrics is none of a gateway: {error}") from None
    channels = admin_port.get(f"/debug/channels?top={CHANNELS_SHOWN}", TIMEOUT_S)
    return Scrape(taken_s, gateway, processes, busiest_channels(channels))


def sort_samples(text: str) -> tuple[Samples, Mapping[str, Samples]]:
    """The gateway's own samples, and those of each process. Raises ValueError if it is no text of
    metrics."""
    gateway = Samples()
    processes: dict[str, Samples] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = dict(sample.labels)
            process = labels.pop(WORKER, None)
            home = gateway if process is None else processes.setdefault(process, Samples())
            home.add(sample.name, frozenset(labels.items()), sample.value)
    return gateway, processes


def busiest_channels(answer: Answer) -> tuple[Mapping[str, Any], ...] | None:
    """None if the answer has none: not every gateway keeps count."""
    if answer.status != 200:
        return None
    try:
        found: Iterable[Mapping[str, Any]] = orjson.loads(answer.body)["channels"]
        return tuple(one for one in found if "channel" in one)
    except (ValueError, KeyError, TypeError):
        return None
