"""A scrape: what it costs a worker, who serves nobody meanwhile, and the supervisor for each."""

from __future__ import annotations

import orjson
import pytest
import uvloop
from prometheus_client import generate_latest

from benchmarks.micro.meter import Meter
from tests.support.gateway import worker
from wsgate.metrics.collector import registry
from wsgate.metrics.families import plain
from wsgate.settings import Settings
from wsgate.sources.local import LocalSource
from wsgate.supervisor.merged import Merged

CHANNELS_EACH = 5


@pytest.mark.parametrize("size", [10, 2_000, 20_000])
def test_scrape(meter: Meter, size: int) -> None:
    async def run() -> None:
        settings = Settings(ws_host="127.0.0.1", ws_port=0)
        gateway = worker(settings, source_factory=lambda feed: [LocalSource(feed)])
        await gateway.start()
        try:
            core = gateway.hub.core
            for number in range(size):
                handle = core.open()
                for channel in range(CHANNELS_EACH):
                    core.subscribe(handle, f"token.c{number * CHANNELS_EACH + channel}.update", 0)
            collected = registry(gateway)
            in_worker = meter.time(lambda: plain(collected), rounds=50)
            told = orjson.loads(orjson.dumps(plain(collected)))
            in_supervisor = meter.time_aside(
                lambda: generate_latest(Merged([("0", told)], ())), rounds=50
            )
        finally:
            await gateway.stop()
        meter.note(
            "scrape",
            size,
            "connections",
            ns_in_worker=(in_worker, f"every metric read; {CHANNELS_EACH} channels each"),
            ns_in_supervisor=(in_supervisor, "one worker's metrics made text"),
        )

    uvloop.run(run())
