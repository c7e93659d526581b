"""From two scrapes to what goes on between them: levels, and rates that are never negative."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Final

from wsgate.tools.top.scrape import Samples, Scrape

SUPERVISOR: Final = "supervisor"
# What only a process that serves clients has.
_SERVING: Final = "ws_connections_current"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of one process, or summed over several."""

    connections: float = 0.0
    handshakes_per_s: float = 0.0
    refused_per_s: float = 0.0
    messages_per_s: float = 0.0
    bytes_per_s: float = 0.0
    drops_per_s: float = 0.0
    backlog_bytes: float = 0.0
    blocked_clients: float = 0.0
    cpu_percent: float = 0.0
    """Of one core."""
    memory_bytes: float = 0.0

    @classmethod
    def sum(cls, parts: Iterable[Figures]) -> Figures:
        listed = list(parts)
        return cls(
            **{one.name: sum(getattr(part, one.name) for part in listed) for one in fields(cls)}
        )


@dataclass(frozen=True, slots=True)
class Feed:
    """``live``: how many of the ``workers`` receive all that this source publishes."""

    live: int
    workers: int

    @property
    def state(self) -> str:
        if self.live == self.workers:
            return "live"
        return "stale" if self.live == 0 else f"live on {self.live} of {self.workers} workers"


@dataclass(frozen=True, slots=True)
class Channel:
    """``publications_per_s`` is None of one that was not among the busiest before."""

    name: str
    subscribers: float
    publications_per_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """``interval_s`` is what rates are over."""

    interval_s: float
    version: str
    uptime_s: float
    workers_wanted: int
    workers_serving: int
    worker_deaths: int
    total: Figures
    processes: Mapping[str, Figures]
    feeds: Mapping[str, str]
    """The state of each source, by its name."""
    channels: tuple[Channel, ...] | None


def between(before: Scrape, after: Scrape, *, now_s: float | None = None) -> Snapshot:
    """``now_s``: seconds since 1970, for the uptime."""
    interval_s = after.taken_s - before.taken_s
    processes = {
        name: _figures(before.processes.get(name), samples, interval_s)
        for name, samples in sorted(after.processes.items(), key=_numbers_first)
    }
    started_s = after.processes.get(SUPERVISOR, Samples()).total("process_start_time_seconds")
    return Snapshot(
        interval_s=interval_s,
        version=_version(after),
        uptime_s=(time.time() if now_s is None else now_s) - started_s if started_s else 0.0,
        workers_wanted=int(after.gateway.total("ws_workers")),
        workers_serving=int(after.gateway.total("ws_workers_serving")),
        worker_deaths=int(after.gateway.total("ws_worker_deaths_total")),
        total=Figures.sum(processes.values()),
        processes=processes,
        feeds={name: feed.state for name, feed in _feeds(after).items()},
        channels=_channels(before, after, interval_s),
    )


def _figures(before: Samples | None, after: Samples, interval_s: float) -> Figures:
    def rate(name: str) -> float:
        return increase(before, after, name) / interval_s if interval_s > 0 else 0.0

    return Figures(
        connections=after.total("ws_connections_current"),
        handshakes_per_s=rate("ws_connections_total"),
        refused_per_s=rate("ws_handshakes_refused_total"),
        messages_per_s=rate("ws_messages_sent_total"),
        bytes_per_s=rate("ws_sent_bytes_total"),
        drops_per_s=rate("ws_messages_dropped_total"),
        backlog_bytes=after.total("ws_backlog_bytes"),
        blocked_clients=after.total("ws_blocked_connections"),
        cpu_percent=100 * rate("process_cpu_seconds_total"),
        memory_bytes=after.total("process_resident_memory_bytes"),
    )


def increase(before: Samples | None, after: Samples, name: str) -> float:
    """By how much a process's counter has grown, over all labels; never negative.

    Another process under the same number began at 0. One that did not answer the last time is
    counted from the next time on: what it has done in all its life is no rate.
    """
    if before is None:
        return 0.0
    began = "process_start_time_seconds"
    since = 0.0 if before.total(began) != after.total(began) else before.total(name)
    return max(0.0, after.total(name) - since)


def _version(scrape: Scrape) -> str:
    found = {
        dict(labels)["version"]
        for samples in scrape.processes.values()
        for labels in samples.of("ws_build_info")
    }
    return ", ".join(sorted(found)) or "unknown"


def _feeds(scrape: Scrape) -> dict[str, Feed]:
    found: dict[str, list[float]] = {}
    for samples in scrape.processes.values():
        for labels, live in samples.of("ws_feed_live").items():
            found.setdefault(dict(labels)["source"], []).append(live)
    return {name: Feed(int(sum(lives)), len(lives)) for name, lives in sorted(found.items())}


def _channels(before: Scrape, after: Scrape, interval_s: float) -> tuple[Channel, ...] | None:
    if after.channels is None:
        return None
    earlier = {one["channel"]: one.get("publications", 0) for one in before.channels or ()}
    found = []
    for one in after.channels:
        rate = None
        if one["channel"] in earlier and interval_s > 0:
            rate = max(0.0, one.get("publications", 0) - earlier[one["channel"]]) / interval_s
        found.append(Channel(one["channel"], one.get("subscribers", 0), rate))
    return tuple(found)


def _numbers_first(item: tuple[str, Samples]) -> tuple[bool, int, str]:
    name, _ = item
    return (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)
