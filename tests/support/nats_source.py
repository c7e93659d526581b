"""A NATS source for tests: with a short patience, a log to look at, and nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from tests.support.feed import RecordingFeed, until
from tests.support.nats import NatsServer
from wsgate.sources.nats import NatsSource
from wsgate.sources.nats_limits import NatsLimits

SUBJECTS = ("token.*.update", "global.>")
QUICK = NatsLimits(
    heartbeat_interval_s=0.1,
    backoff_base_s=0.01,
    backoff_cap_s=0.1,
    denied_retry_s=0.1,
    log_interval_s=0.0,
)
IMPATIENT = NatsLimits(
    connect_timeout_s=0.5,
    heartbeat_interval_s=0.1,
    heartbeat_timeout_s=0.4,
    close_timeout_s=0.5,
    backoff_base_s=0.01,
    backoff_cap_s=0.1,
)


class InOrder(Random):
    """Takes the servers in the order they are given in."""

    def sample(self, population: Sequence[Any], k: int, *, counts: Any = None) -> list[Any]:
        return list(population)


class Log:
    """What the source logs, as dictionaries."""

    def __init__(self) -> None:
        capture = LogCapture()
        self.entries: list[Any] = capture.entries
        self.logger = structlog.wrap_logger(structlog.ReturnLogger(), processors=[capture])

    def events(self) -> set[str]:
        return {entry["event"] for entry in self.entries}


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[Callable[[str], NatsServer]]:
    """Makes servers, not yet started, with the configuration given."""
    servers: list[NatsServer] = []

    def make(config: str = "") -> NatsServer:
        servers.append(NatsServer(tmp_path / f"server-{len(servers)}", config))
        return servers[-1]

    yield make
    for server in servers:
        server.kill()


@asynccontextmanager
async def running(
    feed: RecordingFeed,
    *servers: NatsServer | str,
    subjects: Sequence[str] = SUBJECTS,
    limits: NatsLimits = QUICK,
    **options: Any,
) -> AsyncIterator[NatsSource]:
    """A started source; afterwards it is stopped, and nothing of it may be left."""
    urls = [server if isinstance(server, str) else server.url for server in servers]
    options.setdefault("log", Log().logger)
    source = NatsSource(feed, urls, subjects, limits=limits, random=InOrder(), **options)
    tasks_before = asyncio.all_tasks()
    await source.start()
    try:
        yield source
    finally:
        await source.stop()
    assert not source.connected
    assert asyncio.all_tasks() == tasks_before
    told = len(feed.events), len(feed.messages)
    await asyncio.sleep(0)
    assert (len(feed.events), len(feed.messages)) == told


async def attempts(source: NatsSource, number: int) -> None:
    """Wait until it has failed so many times more."""
    enough = int(source.snapshot()["errors"]) + number
    await until(lambda: int(source.snapshot()["errors"]) >= enough, f"{number} attempts")
