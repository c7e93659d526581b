"""Whatever the network does: no event twice, and none missing without a gap in its place."""

from __future__ import annotations

import os
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.client.world import World

EXAMPLES = int(os.environ.get("WSGATE_MODEL_EXAMPLES", "100"))
CHANNELS = ["token.a.comment", "token.b.comment", "global.news", "token.a.update", "token.b.update"]
NAMES = [
    ("token.a.comment", "token.a.update"),
    ("token.*.comment", "token.a.comment"),
    ("token.*.update", "global.>", "token.a.comment"),
    ("global.news",),
]

STEPS = (
    "publish publish publish carry carry carry carry-all answer answer refuse cut dismiss dismiss"
    " overflow restart wait wait hear move"
).split()


def take(world: World, step: str, number: int) -> None:
    match step:
        case "publish":
            world.publish(CHANNELS[number % len(CHANNELS)])
        case "carry":
            world.carry(number, number)
        case "carry-all":
            while any(world.carry(place) for place in range(len(world.sockets))):
                pass
        case "answer":
            world.answer(number)
        case "refuse":
            world.answer(number, good=False)
        case "cut":
            world.cut(number)
        case "dismiss":
            world.dismiss(number)
        case "overflow":
            world.overflow(number)
        case "restart":
            world.restart(number)
        case "hear":
            world.gateways[number % len(world.gateways)].hear()
        case "wait":
            world.wait(number / 2)
        case "move":  # as far as the moment at which there are two connections
            world.dismiss(0)
            take(world, "carry-all", 0)
            world.wait(1.5)
            world.answer(number)


def finish(world: World) -> None:
    world.settle()
    for channel in CHANNELS:
        world.publish(channel)
    world.settle()
    world.check()
    assert world.end is None


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 7)), max_size=80),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3),
    st.integers(0, 3),
    st.booleans(),
    st.booleans(),
)
def test_nothing_comes_twice_and_nothing_is_missing_unsaid(
    plan: list[tuple[str, int]],
    names: list[tuple[str, ...]],
    seed: int,
    shared: bool,
    recovers: bool,
) -> None:
    world = World(seed, shared=shared, recovers=recovers)
    for one in names:
        world.subscribe(*one)
    for step, number in plan:
        take(world, step, number)
    finish(world)


@pytest.mark.parametrize("recovers", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_on_long_ways_too(shared: bool, recovers: bool) -> None:
    for seed in range(10 * EXAMPLES):
        random = Random(seed)
        world = World(seed, shared=shared, recovers=recovers)
        for _ in range(random.randint(1, 3)):
            world.subscribe(*random.choice(NAMES))
        try:
            for _ in range(150):
                take(world, random.choice(STEPS), random.randrange(8))
            finish(world)
        except AssertionError as error:
            error.add_note(f"seed {seed}")
            raise
