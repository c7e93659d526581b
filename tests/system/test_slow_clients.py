"""Some clients read nothing: the slow-client benchmark, small, and not held to its times."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from benchmarks.fanout.trial import Bench
from benchmarks.slow import report
from benchmarks.slow.scenario import QUICK
from benchmarks.slow.trial import trial
from tests.support.nats import NatsServer, find_nats_server, nats_server

__all__ = ["nats_server"]  # fixtures

MEASURED = ["socket_memory_max_kb", "old_max_kb", "conflated", "blocked"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    cores = sorted(os.sched_getaffinity(0))
    nats = Path(find_nats_server())
    return Bench(tmp_path, nats, Path(sys.executable), cores[0], cores[-1])


def test_slow_clients_end_on_the_latest_and_hurt_nobody(
    bench: Bench, nats_server: NatsServer
) -> None:
    figures = trial(bench, QUICK, nats_server.port, QUICK.slow)
    assert report.faults_of_slow(QUICK, figures) == []
    assert figures["old_max_kb"] > 0, "they were never behind: this proved nothing"


def test_without_slow_clients_nothing_is_merged(bench: Bench, nats_server: NatsServer) -> None:
    """So that the conflation of the other test is known to be the slow ones'."""
    figures = trial(bench, QUICK, nats_server.port, 0)
    assert report.faults(figures) == []
    assert figures["conflated"] == figures["blocked"] == 0


@pytest.mark.parametrize("name", [*report.FAULTS, *MEASURED])
def test_every_fault_is_seen(name: str) -> None:
    good = dict.fromkeys(report.MEANING, 0.0) | {"conflated": 9.0, "blocked": float(QUICK.slow)}
    assert report.faults_of_slow(QUICK, good) == []
    bad = good | {name: 0.0 if good[name] else 1000.0}
    assert len(report.faults_of_slow(QUICK, bad)) == 1
