"""Gateways before one stream are killed, and clients have neither a hole nor a repeat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from benchmarks.recovery.scene import Play, play
from tests.support.feed import run
from tests.support.jetstream import jetstream_config
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
    assert_whole(run(play([server.url], tmp_path, plan)))
