"""Subscribing and unsubscribing, in an index that is full already."""

from __future__ import annotations

import random

import pytest

from benchmarks.micro.market import RULE_OF, core, name_of
from benchmarks.micro.meter import Meter

CONNECTIONS = 10_000
CHANNELS = 1_000
EACH = 5
BATCH_MAX = 1_000
OPERATIONS = 20_000


class Population:
    """Connections with five subscriptions each; `batch` of these come and go."""

    def __init__(self, connections: int, channels: int) -> None:
        chance = random.Random(1)
        self.fanout = core()
        for number in range(channels):
            self.fanout.open_channel(name_of("event", number), RULE_OF["event"])
        pairs = [
            (handle, name_of("event", number))
            for handle in [self.fanout.open() for _ in range(connections)]
            for number in chance.sample(range(channels), EACH)
        ]
        for handle, name in pairs:
            self.fanout.subscribe(handle, name, RULE_OF["event"])
        self.batch = chance.sample(pairs, min(BATCH_MAX, len(pairs) // 2))
        self.total = len(pairs)
        self.rounds = OPERATIONS // len(self.batch)

    def subscribe(self) -> None:
        subscribe, rule = self.fanout.subscribe, RULE_OF["event"]
        for handle, name in self.batch:
            subscribe(handle, name, rule)

    def unsubscribe(self) -> None:
        unsubscribe = self.fanout.unsubscribe
        for handle, name in self.batch:
            unsubscribe(handle, name)


def run(meter: Meter, population: Population, operation: str, size: int, of: str) -> None:
    if operation == "subscribe":
        work, setup, left = population.subscribe, population.unsubscribe, population.total
    else:
        work, setup = population.unsubscribe, population.subscribe
        left = population.total - len(population.batch)
    ns = meter.time(work, setup=setup, rounds=population.rounds)
    assert population.fanout.index.subscriptions == left
    meter.note(
        f"index: {operation}, by {of}",
        size,
        of,
        ns_per_operation=(
            ns / len(population.batch),
            f"{operation} one connection that has {EACH} channels, called from Python",
        ),
    )


@pytest.mark.parametrize("operation", ["subscribe", "unsubscribe"])
@pytest.mark.parametrize("size", [10, 1_000, 100_000])
def test_channels(meter: Meter, operation: str, size: int) -> None:
    run(meter, Population(CONNECTIONS, size), operation, size, "channels")


@pytest.mark.parametrize("operation", ["subscribe", "unsubscribe"])
@pytest.mark.parametrize("size", [10, 1_000, 19_000])
def test_subscribers(meter: Meter, operation: str, size: int) -> None:
    run(meter, Population(size, CHANNELS), operation, size, "subscribers")
