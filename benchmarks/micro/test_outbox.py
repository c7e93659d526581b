"""The three lanes of the outbox, each alone: replies, events, states."""

from __future__ import annotations

import pytest

from benchmarks.micro.market import ALL, PAYLOAD, channel, core, delivered
from benchmarks.micro.meter import Meter
from wsgate.core.frame import Frame

OPERATIONS = 200_000


def rounds(size: int) -> int:
    return max(10, min(1_000, OPERATIONS // size))


@pytest.mark.parametrize("size", [10, 1_000, 19_000])
def test_reply(meter: Meter, size: int) -> None:
    fanout = core()
    handles = [fanout.open() for _ in range(size)]
    frame = Frame.text(b'{"type":"pong"}')

    def reply() -> None:
        push = fanout.delivery.reply
        for handle in handles:
            push(handle, frame)
        fanout.delivery.flush_urgent(ALL)

    reply()
    assert fanout.counters.snapshot()["replies"] == size
    ns = meter.time(reply, rounds=rounds(size))
    meter.note(
        "outbox: reply",
        size,
        "connections",
        ns_per_operation=(ns / size, "a reply queued from Python and written at the tick's end"),
    )


@pytest.mark.parametrize("size", [1, 100, 1_000])
def test_events_in_one_write(meter: Meter, size: int) -> None:
    fanout = core()
    id = channel(fanout, "event", 0, [fanout.open()])
    repeat = max(1, 1_000 // size)

    def push_and_take() -> None:
        publish, flush = fanout.publish, fanout.flush
        for _ in range(repeat):
            for _ in range(size):
                publish(id, PAYLOAD)
            while flush(0, ALL) or fanout.owes_publications:
                pass

    push_and_take()
    assert delivered(fanout) == size * repeat
    ns = meter.time(push_and_take, rounds=50)
    meter.note(
        "outbox: events",
        size,
        "events owed",
        ns_per_operation=(
            ns / (size * repeat),
            "one event encoded, queued for one connection and written with the others owed to it",
        ),
    )


@pytest.mark.parametrize("size", [10, 1_000, 19_000])
def test_conflate_before_spread(meter: Meter, size: int) -> None:
    fanout = core()
    id = channel(fanout, "state", 0, [fanout.open() for _ in range(size)])
    publications = 1_000

    def publish_often() -> None:
        publish = fanout.publish
        for _ in range(publications):
            publish(id, PAYLOAD)

    publish_often()
    assert fanout.counters.snapshot()["conflated"] == (publications - 1) * size
    ns = meter.time(publish_often, rounds=50)
    meter.note(
        "outbox: state replaced before the flush",
        size,
        "subscribers",
        ns_per_operation=(ns / publications, "a value that replaces one which nobody got yet"),
    )


@pytest.mark.parametrize("size", [10, 1_000, 19_000])
def test_conflate_in_the_lane(meter: Meter, size: int) -> None:
    fanout = core()
    handles = [fanout.open() for _ in range(size)]
    id = channel(fanout, "state", 0, handles)
    for handle in handles:
        fanout.delivery.block(handle)

    def publish_to_the_blocked() -> None:
        fanout.publish(id, PAYLOAD)
        fanout.flush(0, ALL)

    publish_to_the_blocked()
    publish_to_the_blocked()
    assert fanout.counters.snapshot()["conflated"] == size
    ns = meter.time(publish_to_the_blocked, rounds=rounds(size))
    assert delivered(fanout) == 0
    meter.note(
        "outbox: state replaced for slow readers",
        size,
        "blocked subscribers",
        ns_per_operation=(
            ns / size,
            "a value owed instead of an older one to one blocked connection; its publication is "
            "shared by all of them",
        ),
    )
