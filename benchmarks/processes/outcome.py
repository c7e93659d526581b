"""A crowd as the benchmark sees it: started, asked, and what became of its clients."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.fanout.child import Child
from benchmarks.fanout.scenarios import Scenario
from benchmarks.fanout.trial import READY_S, Bench

REPORT_S = 60


@contextmanager
def crowd(bench: Bench, scenario: Scenario, port: int, *, moves: bool) -> Iterator[Child]:
    """All of its clients are subscribed, each to one of the channels in turn."""
    command = [sys.executable, "-m", "benchmarks.processes.crowd", str(port)]
    command += [f"--connections={scenario.connections}", f"--size={scenario.payload_bytes}"]
    command += [f"--channels={','.join(scenario.channel_names)}"]
    command += ["--moves"] if moves else []
    log = bench.out / "crowd.log"
    with Child("crowd", command, bench.other_core, log, talks=True, nice=bench.nice) as child:
        child.event("ready", READY_S)
        yield child


@dataclass(frozen=True)
class Became:
    """One client. Times are those of ``time.monotonic``."""

    channel: int
    seen: Sequence[tuple[int, int]]
    """First and last publication of each of its connections."""
    told: Sequence[tuple[float, int]]
    closed: Sequence[tuple[float, int]]

    @property
    def first(self) -> int:
        return min((first for first, _ in self.seen), default=0)

    @property
    def last(self) -> int:
        return max((last for _, last in self.seen), default=0)

    def holes(self) -> int:
        """Publications that neither of two connections got, one of which followed the other."""
        reached = 0
        missing = 0
        for first, last in sorted(self.seen):
            missing += max(0, first - reached - 1) if reached else 0
            reached = max(reached, last)
        return missing


@dataclass(frozen=True)
class Outcome:
    totals: dict[str, Any]
    sent_s: dict[int, dict[int, float]]
    """Of each channel, when each of its publications was published."""
    clients: Sequence[Became]

    @classmethod
    def of(cls, child: Child) -> Outcome:
        report = child.ask("report", REPORT_S)
        sent_s: dict[int, dict[int, float]] = {}
        for channel, number, sent_ns in report.pop("sent_ns"):
            sent_s.setdefault(channel, {})[number] = sent_ns / 1e9
        clients = [Became(**one) for one in report.pop("clients")]
        return cls(report, sent_s, clients)

    @property
    def faults(self) -> int:
        """On any one connection: lost, out of order, twice, not asked for, damaged."""
        return sum(self.totals["faults"].values())

    def last_before(self, at_s: float) -> dict[int, int]:
        """The last publication of each channel that was published before."""
        return {
            channel: max((number for number, sent_s in sent.items() if sent_s < at_s), default=0)
            for channel, sent in self.sent_s.items()
        }

    def undelivered(self, until: dict[int, int]) -> int:
        """Of the publications from the first to those, how many did not come, over all clients."""
        return sum(
            one.holes() + max(0, until.get(one.channel, 0) - one.last) + max(0, one.first - 1)
            for one in self.clients
        )

    def missed_age_max_s(self) -> float:
        """Of the publications that a close forestalled, how long the oldest was due then."""
        ages = [0.0]
        for one in self.clients:
            following_s = self.sent_s.get(one.channel, {}).get(one.last + 1)
            if one.closed and following_s is not None:
                ages.append(one.closed[-1][0] - following_s)
        return max(ages)


def fullest_bin(times_s: Sequence[float], bin_s: float = 0.1) -> float:
    """How many times its even share the fullest bin has, over the span of all."""
    if not times_s:
        return 0.0
    began_s, span_s = min(times_s), max(times_s) - min(times_s)
    count = max(1, round(span_s / bin_s))
    bins = [0] * count
    for at_s in times_s:
        bins[min(count - 1, int((at_s - began_s) / (span_s or 1) * count))] += 1
    return max(bins) / (len(times_s) / count)


def unevenness(values: Sequence[float]) -> float:
    """How far these are from equal steps between least and greatest, as a share of the whole."""
    ordered = sorted(values)
    span = ordered[-1] - ordered[0] if ordered else 0.0
    if not span:
        return 1.0
    steps = len(ordered) - 1
    return max(
        abs((value - ordered[0]) / span - place / steps) for place, value in enumerate(ordered)
    )
