"""One gateway, with or without clients that read nothing; gives the figures."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from benchmarks.fanout import probe
from benchmarks.fanout.child import Failure
from benchmarks.fanout.gateway import Gateway, gateway
from benchmarks.fanout.trial import READY_S, Bench, quantile
from benchmarks.slow.kernel import socket_memory
from benchmarks.slow.readers import Reader
from benchmarks.slow.scenario import Sizes

Figures = dict[str, float]


@contextmanager
def readers(sizes: Sizes, port: int, count: int) -> Iterator[list[Reader]]:
    with ExitStack() as stack:
        made = []
        for _ in range(count):
            reader = Reader(port, sizes.receive_buffer, sizes.states.channel_names)
            stack.callback(reader.close)
            made.append(reader)
        yield made


def trial(bench: Bench, sizes: Sizes, nats_port: int, slow: int) -> Figures:
    """`slow`: how many clients read nothing while all that is published, and then catch up."""
    events, states = sizes.events, sizes.states
    with (
        gateway(
            bench, nats_port, {"WS_MAX_CONNECTIONS": str(sizes.slow + sizes.others + 10)}
        ) as server,
        bench.clients(events, server.port, sizes.others) as others,
        readers(sizes, server.port, slow) as sleepers,
    ):
        others.ready(READY_S)
        event_count = round(sizes.event_rate * (sizes.warmup_s + sizes.seconds))
        published = event_count + sizes.state_channels * sizes.state_updates
        with bench.publisher(events, nats_port, event_count, sizes.event_rate) as event_publisher:
            time.sleep(sizes.warmup_s)
            others.mark()
            with bench.publisher(
                states, nats_port, sizes.state_updates, sizes.state_rate
            ) as state_publisher:
                held = _watch_memory(server, sleepers, sizes.seconds)
                late = state_publisher.event("done", sizes.seconds + 30)
            marked = others.mark()
            event_publisher.event("done", sizes.seconds + 30)
        probe.wait_until(
            "through with all publications",
            lambda: server.metrics()["ws_publications_total"] >= published,
            server.child,
        )
        held = max(held, _most_held(server, sleepers))
        metrics = server.metrics()
        # Those who could read all the time are not to wait for those who could not.
        end = others.finish(event_count * sizes.others)
        caught_up = [sleeper.catch_up(sizes.state_updates) for sleeper in sleepers]
        connections = server.metrics()["ws_connections_current"]
        return {
            "latency_p50_ms": quantile(marked["latency_us"], 0.5) / 1000,
            "latency_p99_ms": quantile(marked["latency_us"], 0.99) / 1000,
            "latency_max_ms": max(marked["latency_us"], default=0) / 1000,
            "lost": event_count * sizes.others - end["deliveries"] + end["duplicates"],
            "reordered": end["reordered"] + end["duplicates"],
            "damaged": end["damaged"] + end["unasked"],
            "disconnected": slow + sizes.others - connections,
            "conflated": sum(
                value
                for name, value in metrics.items()
                if name.startswith("ws_messages_conflated_total")
            ),
            "blocked": metrics["ws_blocked_connections"],
            "socket_memory_max_kb": held / 1024,
            "old_max_kb": max((one.old_bytes for one in caught_up), default=0) / 1024,
            "old_messages_max": max((one.old for one in caught_up), default=0),
            "surplus": sum(one.surplus for one in caught_up),
            "latest_missing": sum(sizes.state_channels - one.latest for one in caught_up),
            "publisher_late_max_ms": late["late_max_ms"],
        }


def _watch_memory(server: Gateway, sleepers: Sequence[Reader], seconds: float) -> int:
    """The most that the kernel held for one of them, looked at about once a second."""
    end = time.monotonic() + seconds
    most = 0
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(1.0, left))
        most = max(most, _most_held(server, sleepers))
    return most


def _most_held(server: Gateway, sleepers: Sequence[Reader]) -> int:
    """On the gateway's side."""
    memories = socket_memory(server.port)
    missing = [sleeper.port for sleeper in sleepers if sleeper.port not in memories]
    if missing:
        raise Failure(f"{len(missing)} slow clients have no socket on the gateway's side any more")
    return max((memories[sleeper.port].held for sleeper in sleepers), default=0)
