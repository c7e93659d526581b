"""Deltas beside text: what a delivery costs, to a sink that does nothing and to real sockets.

One channel, whole objects of a token market, so that keyframes are renewed as they are in earnest.
Rounds of both formats alternate, what drifts on the machine hits both alike, and medians are
compared: a few sockets are sometimes read at once, by chance, which makes a round half as dear.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from statistics import median

import pytest

from benchmarks.egress.feed import updates
from benchmarks.micro.market import ALL, channel, core, delivered
from benchmarks.micro.meter import Meter
from benchmarks.micro.readers import Readers
from wsgate.core.fanout import Fanout
from wsgate.edge.sink import SocketSink

DELIVERIES_A_ROUND = 20_000
kinds = pytest.mark.parametrize("kind", ["event", "state"])


class Format:
    """A core whose connections all speak one of both, and the cost of its rounds."""

    def __init__(self, fanout: Fanout, kind: str, size: int, *, delta: bool) -> None:
        self._fanout = fanout
        self.handles = [fanout.open(delta=delta) for _ in range(size)]
        self._id = channel(fanout, kind, 0, self.handles)
        self._payloads = cycle([update.payload for update in updates(500, 1)])
        self._count = max(2, DELIVERIES_A_ROUND // size)
        self.deliveries = self._count * size
        self.rounds_s: list[float] = []

    def work(self) -> None:
        publish, flush = self._fanout.publish, self._fanout.flush
        for payload in islice(self._payloads, self._count):
            publish(self._id, payload)
            flush(0, ALL)

    def round(self, timer: Callable[[], float]) -> None:
        before = delivered(self._fanout)
        start = timer()
        self.work()
        self.rounds_s.append(timer() - start)
        assert delivered(self._fanout) - before == self.deliveries

    @property
    def written(self) -> int:
        return self._fanout.counters.snapshot()["written_bytes"]

    @property
    def ns(self) -> float:
        return median(self.rounds_s) * 1e9 / self.deliveries


def compare(
    meter: Meter,
    plain: Format,
    delta: Format,
    *,
    series: str,
    size: int,
    rounds: int,
    timer: Callable[[], float],
    before: Callable[[], object] = lambda: None,
) -> None:
    for _ in range(rounds):
        for one in (plain, delta):
            before()
            one.round(timer)
    meter.time(lambda: delta.round(timer), setup=before, rounds=2)
    print(f"\n{series}, {size:,}: text {plain.ns:.1f} ns, delta {delta.ns:.1f} ns,"
          f" ratio {delta.ns / plain.ns:.3f}")  # fmt: skip
    meter.note(
        series,
        size,
        "subscribers",
        ns_per_delivery_as_text=(plain.ns, "queued and written, the encoding shared by all"),
        ns_per_delivery_as_delta=(delta.ns, "the same with wsgate.delta.v1, keyframes included"),
    )


@kinds
@pytest.mark.parametrize("size", [100, 10_000])
def test_to_nowhere(meter: Meter, kind: str, size: int) -> None:
    plain, delta = (Format(core(), kind, size, delta=delta) for delta in (False, True))
    compare(
        meter, plain, delta, series=f"delta: {kind} to nowhere", size=size, rounds=40,
        timer=time.perf_counter,
    )  # fmt: skip


@pytest.fixture(scope="module", params=[100, 10_000])
def size(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture(scope="module")
def readers(size: int) -> Iterator[Readers]:
    if size > Readers.limit():
        pytest.skip(f"{size:,} sockets are more than this process may open (ulimit -n)")
    cores = os.sched_getaffinity(0)
    with Readers(size) as opened:
        opened.keep_to({max(cores)})
        os.sched_setaffinity(0, {min(cores)})
        yield opened
    os.sched_setaffinity(0, cores)


@kinds
def test_to_sockets(meter: Meter, readers: Readers, size: int, kind: str) -> None:
    base = readers.received()
    formats = []
    for delta in (False, True):
        sink = SocketSink()
        formats.append(Format(core(sink), kind, size, delta=delta))
        for slot, descriptor in enumerate(readers.descriptors):
            sink.attach(slot, descriptor, asyncio.Transport())  # does nothing: a cut is an error
    plain, delta_format = formats

    def until_all_is_read() -> None:
        readers.wait(base + sum(one.written for one in formats))

    compare(
        meter, plain, delta_format, series=f"delta: {kind} to sockets", size=size, rounds=60,
        timer=time.process_time, before=until_all_is_read,
    )  # fmt: skip
    until_all_is_read()
