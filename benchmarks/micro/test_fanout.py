"""Fan-out as a whole: publish and flush, to a sink that does nothing and to real sockets.

Two figures are kept apart in every shape. What a publication costs however many want it is measured
on channels with one subscriber; what each further subscriber adds, on channels with many.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator

import pytest

from benchmarks.micro.market import Tour, channel, core, delivered
from benchmarks.micro.meter import Meter
from benchmarks.micro.readers import Readers
from wsgate.core.fanout import Fanout
from wsgate.edge.sink import SocketSink

CONNECTIONS = 10_000
FURTHER = 10
"""Subscribers of a channel beyond the first, where it is channels that grow in number."""
PUBLICATION = (
    "publish and flush with one subscriber: what it costs however many want it "
    "(a flush also passes over a bit for each connection)"
)
DELIVERY = "what each further subscriber adds, to queue and to write"
IN_THE_KERNEL = "; of CPU, nearly all in the kernel's send, dearer the more sockets are cold"

kinds = pytest.mark.parametrize("kind", ["event", "state"])


def run(
    meter: Meter,
    fanout: Fanout,
    few: Tour,
    many: Tour,
    audience: int,
    *,
    series: str,
    size: int,
    of: str,
    rounds: int,
    remark: str = "",
    setup: Callable[[], object] | None = None,
) -> None:
    """Measure `few`, whose channels have one subscriber, and `many`, with `audience` of them."""
    one = meter.time_aside(few, setup=setup, rounds=max(rounds, 20)) / few.publications
    before = delivered(fanout)
    many()
    assert delivered(fanout) - before == many.publications * audience
    all = meter.time(many, setup=setup, rounds=rounds) / many.publications
    meter.note(
        series,
        size,
        of,
        ns_per_publication=(one, PUBLICATION + remark),
        ns_per_delivery=((all - one) / (audience - 1), DELIVERY + remark),
    )


@kinds
@pytest.mark.parametrize("size", [10, 1_000, 10_000, 19_000])
def test_subscribers(meter: Meter, kind: str, size: int) -> None:
    fanout = core()
    handles = [fanout.open() for _ in range(size)]
    few = Tour(fanout, [channel(fanout, kind, 0, handles[:1])], 200)
    many = Tour(fanout, [channel(fanout, kind, 1, handles)], max(1, 10_000 // size))
    run(
        meter,
        fanout,
        few,
        many,
        size,
        series=f"fan-out: {kind} to nowhere, by subscribers",
        size=size,
        of="subscribers",
        rounds=50,
    )


@kinds
@pytest.mark.parametrize("size", [10, 1_000, 100_000])
def test_channels(meter: Meter, kind: str, size: int) -> None:
    chance = random.Random(1)
    fanout = core()
    handles = [fanout.open() for _ in range(CONNECTIONS)]
    ids = [
        channel(fanout, kind, number, chance.sample(handles, 1 + FURTHER * (number % 2)))
        for number in range(size)
    ]
    Tour(fanout, ids, size)()  # a channel's first publication looks up which patterns match it
    few, many = ids[::2], ids[1::2]
    chance.shuffle(few)
    chance.shuffle(many)
    run(
        meter,
        fanout,
        Tour(fanout, few, 200),
        Tour(fanout, many, 200),
        1 + FURTHER,
        series=f"fan-out: {kind} to nowhere, by channels",
        size=size,
        of="channels",
        rounds=100,
    )


@pytest.fixture(scope="module", params=[10, 1_000, 10_000, 19_000])
def size(request: pytest.FixtureRequest) -> int:
    """How many sockets; of the module, so that they are opened once for both kinds."""
    return request.param


@pytest.fixture(scope="module")
def readers(size: int) -> Iterator[Readers]:
    if size > Readers.limit():
        pytest.skip(f"{size:,} sockets are more than this process may open (ulimit -n)")
    with Readers(size) as opened:
        yield opened


# Of CPU: rounds are so long here that others on the machine have their turn within each.
@pytest.mark.benchmark(timer=time.process_time)
@kinds
def test_sockets(meter: Meter, readers: Readers, kind: str, size: int) -> None:
    sink = SocketSink()
    fanout = core(sink)
    handles = [fanout.open() for _ in range(size)]
    for slot, descriptor in enumerate(readers.descriptors):
        # A send that is cut would go on through the transport, and this one does nothing: an error.
        sink.attach(slot, descriptor, asyncio.Transport())
    base = readers.received()

    def until_all_is_read() -> None:
        readers.wait(base + fanout.counters.snapshot()["written_bytes"])

    run(
        meter,
        fanout,
        Tour(fanout, [channel(fanout, kind, 0, handles[:1])], 20),
        Tour(fanout, [channel(fanout, kind, 1, handles)], max(1, min(20, 5_000 // size))),
        size,
        series=f"fan-out: {kind} to sockets",
        size=size,
        of="subscribers",
        rounds=max(6, min(50, 100_000 // size)),
        remark=IN_THE_KERNEL,
        setup=until_all_is_read,
    )
    until_all_is_read()
    assert fanout.delivery.take_doomed() == []
