"""NATS with JetStream, two gateways before it, a balancer before those, and clients."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import nats
import nats.errors
from nats.js import JetStreamContext
from nats.js.api import Placement, StreamConfig, StreamSource

from benchmarks.fanout import probe
from benchmarks.recovery.balancer import Balancer
from benchmarks.recovery.reader import Reader

STREAM = "COMMENTS"
PATIENCE_S = 60.0
BETWEEN_S = 0.3  # for clients to be on both again
SETTLE_S = 0.01


class Impossible(Exception):
    """The scene could not be played."""


@dataclass(frozen=True)
class Play:
    kills: int
    clients: int
    channels: int
    rate_per_s: int
    each: int = 2


@dataclass(frozen=True)
class Region:
    """Where a gateway stands: its NATS servers, and the stream that it reads there."""

    nats_urls: tuple[str, ...]
    stream: str = STREAM
    """Of any other name it is a mirror."""
    cluster: str = ""
    """That holds the stream; empty where there is only one."""


class Gateway:
    """One that can be killed and comes back on the same ports."""

    def __init__(self, region: Region, log: Path) -> None:
        self.port, self.admin_port = probe.free_port(), probe.free_port()
        self._log = log
        self._environment = {
            **os.environ,
            "NATS_URL": ",".join(region.nats_urls),
            "NATS_JETSTREAM": region.stream,
            "WS_HOST": "127.0.0.1",
            "WS_PORT": str(self.port),
            "WS_ADMIN_PORT": str(self.admin_port),
            "WS_WORKERS": "1",
            "WS_AUTH": "none",
            "WS_DRAIN_DELAY_S": "0",
            "LOG_FORMAT": "json",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "wsgate", "serve"],
                stdout=output, stderr=output, env=self._environment,
            )  # fmt: skip

    def ready(self) -> bool:
        with suppress(OSError):
            url = f"http://127.0.0.1:{self.admin_port}/readyz"
            return bool(urllib.request.urlopen(url, timeout=2).status == 200)
        return False

    async def until_ready(self) -> None:
        await until(lambda: asyncio.to_thread(self.ready), "a gateway to be ready")

    def kill(self) -> None:
        """The supervisor, and with it its workers, as a machine that fails would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


async def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        if time.monotonic() > deadline:
            raise Impossible(f"waited {PATIENCE_S:.0f} s for {what}")
        await asyncio.sleep(SETTLE_S)


class Publisher:
    """Counts on each channel; ``counters``: what the stream has confirmed."""

    def __init__(self, jetstream: JetStreamContext, channels: list[str], rate_per_s: int) -> None:
        self._jetstream = jetstream
        self._channels = channels
        self._rate_per_s = rate_per_s
        self.counters = dict.fromkeys(channels, 0)
        self._stopping = False
        self.behind_s = 0.0

    async def run(self) -> None:
        began_s = time.monotonic()
        for number, channel in enumerate(itertools.cycle(self._channels)):
            due_s = began_s + number / self._rate_per_s
            if (left_s := due_s - time.monotonic()) > 0:
                await asyncio.sleep(left_s)
            if self._stopping:
                return
            await self._publish(channel)

    async def _publish(self, channel: str) -> None:
        """Again and again until the stream has it: its id tells a repeat."""
        number = self.counters[channel] + 1
        payload = b'{"n":%d,"text":"%s"}' % (number, b"x" * 100)
        began_s = time.monotonic()
        while True:
            try:
                await self._jetstream.publish(
                    channel, payload, timeout=2, headers={"Nats-Msg-Id": f"{channel}-{number}"}
                )
                break
            except Exception:
                if time.monotonic() - began_s > PATIENCE_S:
                    raise
                await asyncio.sleep(0.05)
        self.behind_s = max(self.behind_s, time.monotonic() - began_s)
        self.counters[channel] = number

    def stop(self) -> None:
        self._stopping = True


@asynccontextmanager
async def gateways(regions: Sequence[Region], out: Path) -> AsyncIterator[list[Gateway]]:
    pair = [Gateway(region, out / f"recovery-{place}.log") for place, region in enumerate(regions)]
    try:
        for one in pair:
            one.start()
        for one in pair:
            await one.until_ready()
        yield pair
    finally:
        for one in pair:
            if one.process is not None and one.process.poll() is None:
                one.kill()


async def play(
    regions: Sequence[Region],
    out: Path,
    plan: Play,
    *,
    replicas: int = 1,
    strike: Callable[[int, list[Gateway]], object] | None = None,
) -> Counter[str]:
    """Figures: what went wrong, at any client, and how much was received.

    A gateway stands in each of ``regions``; what is published goes to the first of them.
    ``strike(turn, gateways)`` does harm in place of killing a gateway, and returns when that is
    mended.
    """
    channels = [f"token.c{number}.comment" for number in range(plan.channels)]
    async with AsyncExitStack() as stack:
        urls = list(regions[0].nats_urls)
        client = await nats.connect(urls, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
        stack.push_async_callback(client.close)
        jetstream = client.jetstream()
        for region in dict.fromkeys(regions):
            await _make_stream(jetstream, region, replicas)
        pair = await stack.enter_async_context(gateways(regions, out))
        ports = [one.port for one in pair]
        balancer = await stack.enter_async_context(Balancer(lambda: ports, seed=1))
        publisher = Publisher(jetstream, channels, plan.rate_per_s)
        publishing = asyncio.create_task(publisher.run())
        readers = [
            Reader(balancer.port, _some(channels, plan.each, place), seed=place)
            for place in range(plan.clients)
        ]
        for reader in readers:
            await reader.start()
            stack.push_async_callback(reader.stop)
        for turn in range(plan.kills):
            if strike is None:
                await _kill(pair[turn % len(pair)])
            elif asyncio.iscoroutine(struck := strike(turn, pair)):
                await struck
            print(f"... {turn + 1} of {plan.kills}", file=sys.stderr)
            await asyncio.sleep(BETWEEN_S)
        publisher.stop()
        await publishing
        await until(
            lambda: all(reader.has(publisher.counters) for reader in readers), "the last events"
        )
        found: Counter[str] = sum((reader.faults for reader in readers), Counter())
        found["received"] = sum(reader.received for reader in readers)
        found["published"] = sum(publisher.counters.values())
        return found


async def _make_stream(jetstream: JetStreamContext, region: Region, replicas: int) -> None:
    """Servers that have just started may have no leader yet."""
    config = StreamConfig(name=region.stream, num_replicas=replicas)
    if region.cluster:
        config.placement = Placement(cluster=region.cluster)
    if region.stream == STREAM:
        config.subjects = ["token.*.comment"]
    else:
        config.mirror = StreamSource(name=STREAM)
    began_s = time.monotonic()
    while True:
        try:
            await jetstream.add_stream(config)
            return
        except nats.errors.Error:
            if time.monotonic() - began_s > PATIENCE_S:
                raise
            await asyncio.sleep(0.1)


async def _kill(gateway: Gateway) -> None:
    await asyncio.to_thread(gateway.kill)
    gateway.start()
    await gateway.until_ready()


def _some(channels: list[str], each: int, place: int) -> list[str]:
    apart = place // len(channels) + 1
    return [channels[(place + turn * apart) % len(channels)] for turn in range(each)]
