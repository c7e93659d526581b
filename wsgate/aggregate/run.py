"""``wsgate aggregate``: from settings to the end, and what signals mean on the way."""

from __future__ import annotations

import asyncio
import gc
from typing import Final

import structlog
from prometheus_client import CollectorRegistry

from wsgate.admin import HealthPort
from wsgate.aggregate.aggregator import Aggregator
from wsgate.aggregate.measures import registry
from wsgate.blueprint import AggregationBlueprint, NatsBlueprint
from wsgate.settings.reading import Loaded
from wsgate.signals import Signals
from wsgate.sources import Feed
from wsgate.sources.nats import NatsSource

log = structlog.get_logger("wsgate.aggregate")

EXIT_CUT_SHORT: Final = 1
HAND_OVER_S: Final = 5.0  # what runs containers mostly kills after 10
LOOK_AGAIN_S: Final = 0.01
GATHER_S: Final = 0.001  # to wake for each publication costs several times what it does itself
GC_THRESHOLDS: Final = (50_000, 20, 50)  # publications are freed without it


async def run(loaded: Loaded, blueprint: AggregationBlueprint) -> int:
    """Until SIGTERM or SIGINT; returns the exit status. A second one ends it at once."""
    for warning in loaded.warnings:
        log.warning(warning.event, **warning.details)
    settings = loaded.settings
    process = Process(blueprint, settings.ws_host, settings.ws_admin_port)
    signals = Signals()
    signals.on_hangup(
        lambda: log.warning(
            "settings are read at the start only: end this process, and start another"
        )
    )
    await process.start()
    log.info(
        "aggregating",
        host=settings.ws_host,
        admin_port=process.admin_port,
        reads=blueprint.nats.subjects,
        writes=blueprint.channels,
        window_ms=settings.ws_aggregate_window_ms,
    )
    await signals.end()
    stopping = asyncio.create_task(process.stop())
    again = asyncio.create_task(signals.end())
    await asyncio.wait({stopping, again}, return_when=asyncio.FIRST_COMPLETED)
    again.cancel()
    if not stopping.done():
        log.warning("told twice: ending at once")
        stopping.cancel()
        await asyncio.wait({stopping})
        return EXIT_CUT_SHORT
    return 0 if stopping.result() else EXIT_CUT_SHORT


class Process:
    """The source, the aggregator, and the port for operators; what operators are told."""

    def __init__(self, blueprint: AggregationBlueprint, host: str, admin_port: int) -> None:
        self._blueprint = blueprint
        self._admin = HealthPort(host, admin_port, self)
        self._leaving = False

    @property
    def admin_port(self) -> int:
        return self._admin.port

    async def start(self) -> None:
        """OSError, naming the setting, if the port cannot be had."""
        await self._admin.start()
        self.aggregator = Aggregator(self._blueprint, asyncio.get_running_loop(), self._make_source)
        self._registry = registry(self.aggregator, self.source)
        await self.source.start()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)

    def _make_source(self, feed: Feed) -> NatsSource:
        self.source = source(feed, self._blueprint.nats)
        return self.source

    async def stop(self) -> bool:
        """Whether NATS has all that was held."""
        self._leaving = True
        log.info("stopping", held=self.aggregator.held)
        try:
            async with asyncio.timeout(HAND_OVER_S):
                await self._hand_over()
            handed_over = True
        except TimeoutError:
            handed_over = False
            log.warning(
                "NATS did not take all that was held: that is lost",
                states=self.aggregator.states.held,
                events=self.aggregator.events.held,
                waited_s=HAND_OVER_S,
            )
        self.aggregator.stop()
        await self.source.stop()
        await self._admin.stop()
        log.info("stopped")
        return handed_over

    async def _hand_over(self) -> None:
        """Read what is there, publish all that is held, and return when the server has it."""
        while self.source.connected or self.aggregator.held:
            try:
                await self.source.end_input()
                self.aggregator.finish()
                while self.aggregator.held and self.source.connected:
                    await asyncio.sleep(LOOK_AGAIN_S)
                    self.aggregator.finish()
                await self.source.settle()
            except Exception:  # the connection is lost, and another is on its way
                await asyncio.sleep(LOOK_AGAIN_S)
                continue
            if not self.aggregator.held:
                return

    # What operators are told

    async def ill(self) -> list[str]:
        return []

    async def not_ready(self) -> list[str]:
        reasons = [] if self.source.connected else [f"{self.source.name}: not connected"]
        return [*reasons, "stopping"] if self._leaving else reasons

    async def metrics(self) -> CollectorRegistry:
        return self._registry


def source(feed: Feed, nats: NatsBlueprint) -> NatsSource:
    return NatsSource(
        feed,
        nats.servers,
        nats.subjects,
        **nats.credentials,
        streams=(),  # what is republished is live, or nothing
        gather_s=GATHER_S,
        echo=False,  # were a mapping of the server's to lead back here, it would never end
    )
