"""Gateways before one stream are killed, and clients have neither a hole nor a repeat."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.recovery.scene import STREAM, Gateway, Play, Region, play
from tests.support.feed import run
from tests.support.jetstream import JetStream, cluster, jetstream_config, joined_clusters
from tests.support.nats import NatsServer
from tests.support.nats_source import new_server

__all__ = ["new_server"]


def assert_whole(found: Counter[str]) -> None:
    assert found["published"] > 0 and found["received"] > 0
    assert {name for name, count in found.items() if count} == {"published", "received"}, found


def test_gateways_that_are_killed_in_turn_are_hardly_noticed(
    new_server: Callable[[str], NatsServer], tmp_path: Path
) -> None:
    server = new_server(jetstream_config(tmp_path / "store"))
    server.start()
    plan = Play(kills=3, clients=30, channels=10, rate_per_s=200)
    assert_whole(run(play([Region((server.url,))] * 2, tmp_path, plan)))


@pytest.mark.timeout(180)
def test_neither_are_the_servers_of_a_cluster(tmp_path: Path) -> None:
    """Each is killed once, and whichever leads the stream twice."""
    nodes = cluster(tmp_path)

    def strike(turn: int) -> None:
        victim = nodes[turn % 3]
        witness = nodes[(turn + 1) % 3]
        if turn >= len(nodes):
            with JetStream(witness) as js:
                leader = js.info(STREAM)["cluster"]["leader"]
            (victim,) = [node for node in nodes if node.name == leader]
            witness = next(node for node in nodes if node is not victim)
        victim.kill()
        with JetStream(witness) as js:
            js.until(STREAM, lambda found: found["cluster"]["leader"] not in ("", victim.name))
            victim.restart()
            js.until(
                STREAM, lambda found: all(one["current"] for one in found["cluster"]["replicas"])
            )

    async def harm(turn: int, _: list[Gateway]) -> None:
        await asyncio.to_thread(strike, turn)

    plan = Play(kills=5, clients=30, channels=10, rate_per_s=100)
    try:
        for node in nodes:
            node.start()
        region = Region(tuple(node.url for node in nodes))
        assert_whole(run(play([region] * 2, tmp_path, plan, replicas=3, strike=harm)))
    finally:
        for node in nodes:
            node.kill()


@pytest.mark.timeout(180)
def test_clients_recover_in_the_other_region(tmp_path: Path) -> None:
    """Two clusters, joined by gateways; in one of them the stream, in the other its mirror.

    The gateways of both are killed in turn, so that clients go from one to the other and back.
    """
    east, west = joined_clusters(tmp_path, ["east", "west"], size=2)
    nodes = [*east, *west]
    plan = Play(kills=6, clients=30, channels=10, rate_per_s=100)
    try:
        for node in nodes:
            node.start()
        regions = [
            Region(tuple(node.url for node in east), cluster="east"),
            Region(tuple(node.url for node in west), stream="COMMENTS_WEST", cluster="west"),
        ]
        assert_whole(run(play(regions, tmp_path, plan)))
    finally:
        for node in nodes:
            node.kill()
