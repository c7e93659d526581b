"""``wsgate aggregate`` as operators run it: real processes, a real NATS server."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.command import wsgate
from tests.support.loop import on_loop
from tests.support.nats import NatsServer, Publisher, nats_server
from tests.support.nats_reader import Reader
from tests.support.process import (
    AggregatorProcess,
    GatewayProcess,
    aggregator_process,
    gateway_process,
    until,
)
from wsgate.control import GAP_SUBJECT

__all__ = ["aggregator_process", "gateway_process", "nats_server"]  # fixtures

NewAggregator = Callable[..., AggregatorProcess]
NewGateway = Callable[..., GatewayProcess]

STATE, EVENT = "token.abc.update", "token.abc.comment"
CHANNELS = ["token.*.update", "token.*.comment", "global.>"]
LONG = 60_000  # ms, of a window that no test outlives: what is in it is held


def started(new: NewAggregator, server: NatsServer, **settings: object) -> AggregatorProcess:
    aggregator = new(NATS_URL=server.url, **settings).start()
    aggregator.until_ready()
    return aggregator


def numbers(first: int, last: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, last + 1)]


def publish(publisher: Publisher, channel: str, *payloads: bytes, prefix: str = "raw") -> None:
    for payload in payloads:
        publisher.publish(f"{prefix}.{channel}", payload)
    publisher.flush()


def test_state_is_conflated_and_events_pass(
    nats_server: NatsServer, aggregator_process: NewAggregator
) -> None:
    aggregator = started(aggregator_process, nats_server, WS_AGGREGATE_WINDOW_MS=50)
    with Reader(nats_server, "token.>", "order.>") as reader, Publisher(nats_server) as publisher:
        publish(publisher, STATE, b"first")
        reader.until_last(STATE, b"first")
        for number in numbers(1, 1000):
            publisher.publish(f"raw.{STATE}", number)
            publisher.publish(f"raw.{EVENT}", number)
        publish(publisher, "order.1", b"no rule has this")
        publish(publisher, STATE, b"last")
        reader.until_last(STATE, b"last")
        reader.until_last(EVENT, b"1000")
        assert reader.of(EVENT) == numbers(1, 1000)
        states = reader.of(STATE)
        assert [int(one) for one in states[1:-1]] == sorted(int(one) for one in states[1:-1])
        metrics = aggregator.metrics()
        assert metrics['ws_aggregate_republished_total{kind="state"}'] == len(states)
        assert metrics['ws_aggregate_republished_total{kind="event"}'] == 1000
        assert metrics["ws_aggregate_conflated_total"] == 1002 - len(states) > 0
        assert metrics['ws_aggregate_held{kind="state"}'] == 0
        assert metrics["ws_aggregate_open"] == 1
        assert metrics['ws_feed_messages_total{source="nats"}'] == 2002
        assert metrics["ws_aggregate_lag_seconds_count"] > 0
    assert aggregator.get("/healthz") == (200, "ok\n")
    assert aggregator.get("/debug/channels")[0] == 404, "a gateway's"
    assert aggregator.stop() == 0


def test_the_first_value_waits_for_no_window_and_sigterm_publishes_what_does(
    nats_server: NatsServer, aggregator_process: NewAggregator
) -> None:
    aggregator = started(aggregator_process, nats_server, WS_AGGREGATE_WINDOW_MS=LONG)
    with Reader(nats_server, "token.>") as reader, Publisher(nats_server) as publisher:
        publish(publisher, STATE, *numbers(1, 5))
        publish(publisher, EVENT, *numbers(1, 5))
        reader.until_last(EVENT, b"5")
        assert reader.of(STATE) == [b"1"]
        until(lambda: aggregator.metric('ws_aggregate_held{kind="state"}') == 1, "a value held")
        # What is on its way when it is told to end is not lost either.
        publisher.publish(f"raw.{STATE}", b"6")
        publisher.publish(f"raw.{EVENT}", b"6")
        publisher.flush()
        assert aggregator.stop() == 0
        reader.until_last(STATE, b"6")
        assert reader.of(STATE) == [b"1", b"6"]
        assert reader.of(EVENT) == numbers(1, 6)
    assert [one["event"] for one in aggregator.log][-2:] == ["stopping", "stopped"]
    assert aggregator.errors == ""


def test_a_restart_loses_no_more_than_what_was_held(
    nats_server: NatsServer, aggregator_process: NewAggregator
) -> None:
    with Reader(nats_server, "token.>", GAP_SUBJECT) as reader, Publisher(nats_server) as publisher:
        first = started(aggregator_process, nats_server, WS_AGGREGATE_WINDOW_MS=LONG)
        publish(publisher, STATE, b"1", b"held")
        until(lambda: first.metric('ws_aggregate_held{kind="state"}') == 1, "a value held")
        first.kill()
        publish(publisher, EVENT, b"nobody is there")
        publish(publisher, STATE, b"nobody is there")
        started(aggregator_process, nats_server)
        publish(publisher, STATE, b"2")
        publish(publisher, EVENT, b"2")
        reader.until_last(EVENT, b"2")
        assert reader.of(STATE) == [b"1", b"2"], "a later value comes, and at once"
        gap = {"channels": CHANNELS}
        assert [json.loads(one) for one in reader.of(GAP_SUBJECT)] == [gap, gap]


@pytest.mark.parametrize("outage", ["kill", "pause"])
def test_an_outage_of_nats(
    nats_server: NatsServer, aggregator_process: NewAggregator, outage: str
) -> None:
    aggregator = started(aggregator_process, nats_server, WS_AGGREGATE_WINDOW_MS=LONG)
    with Publisher(nats_server) as publisher:
        publish(publisher, STATE, b"1", b"2", b"3")
    until(lambda: aggregator.metric('ws_aggregate_held{kind="state"}') == 1, "a value held")
    if outage == "kill":
        nats_server.kill()
    else:
        nats_server.pause()
    until(lambda: aggregator.get("/readyz")[0] == 503, "an aggregator that is not ready")
    assert aggregator.metric("ws_aggregate_open") == 0
    assert aggregator.metric('ws_aggregate_held{kind="state"}') == 1
    if outage == "kill":
        nats_server.start()
    else:
        nats_server.resume()
    with Reader(nats_server, "token.>") as reader, Publisher(nats_server) as publisher:
        aggregator.until_ready()
        publish(publisher, EVENT, b"4")
        publish(publisher, STATE, b"4")
        reader.until_last(EVENT, b"4")
        aggregator.stop()
        reader.until_last(STATE, b"4")
    assert aggregator.wait() == 0


def test_it_ends_when_nats_is_away(
    nats_server: NatsServer, aggregator_process: NewAggregator
) -> None:
    """What was held cannot be published; that is said, and shows in the exit status."""
    aggregator = started(aggregator_process, nats_server, WS_AGGREGATE_WINDOW_MS=LONG)
    with Publisher(nats_server) as publisher:
        publish(publisher, STATE, b"1", b"2")
    until(lambda: aggregator.metric('ws_aggregate_held{kind="state"}') == 1, "a value held")
    nats_server.kill()
    until(lambda: aggregator.get("/readyz")[0] == 503, "an aggregator that is not ready")
    assert aggregator.stop() == 1
    (said,) = [one for one in aggregator.log if "that is lost" in one["event"]]
    assert (said["states"], said["events"]) == (1, 0)


def test_it_ends_at_once_where_nothing_is_held(aggregator_process: NewAggregator) -> None:
    aggregator = aggregator_process().start()  # there is no NATS
    assert aggregator.get("/readyz")[0] == 503
    aggregator.signal(signal.SIGHUP)
    until(lambda: any("at the start only" in one["event"] for one in aggregator.log), "a warning")
    assert aggregator.stop() == 0


PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
# As the manual has them: a partition of the whole subject, and of one token.
MAPPINGS = re.findall(
    r"^```\n(mappings: \{.*?^\})\n```", PAGE.read_text(), re.DOTALL | re.MULTILINE
)


def test_the_manual_has_two_ways_to_divide() -> None:
    assert len(MAPPINGS) == 2


TOKENS = [f"token.{number}.update" for number in range(40)]


@pytest.mark.parametrize("mappings", MAPPINGS, ids=["by name", "by token"])
def test_partitions(tmp_path: Path, aggregator_process: NewAggregator, mappings: str) -> None:
    server = NatsServer(tmp_path / "nats", mappings).start()
    try:
        instances = [
            started(
                aggregator_process,
                server,
                WS_AGGREGATE_FROM=f"part.{number}",
                WS_AGGREGATE_WINDOW_MS=20,
            )
            for number in range(2)
        ]
        with Reader(server, "token.>", "global.>") as reader, Publisher(server) as publisher:
            for number in numbers(1, 100):
                for channel in (*TOKENS, EVENT, "global.trending", "global.news"):
                    publisher.publish(f"raw.{channel}", number)
            publisher.flush()
            for channel in (*TOKENS, EVENT, "global.trending", "global.news"):
                reader.until_last(channel, b"100")
                came = [int(one) for one in reader.of(channel)]
                assert came == sorted(set(came)), "in order, by one instance alone"
            assert reader.of(EVENT) == reader.of("global.news") == numbers(1, 100)
            received = [one.metric('ws_feed_messages_total{source="nats"}') for one in instances]
            assert sum(received) == 100 * (len(TOKENS) + 3)
            assert min(received) > 0.25 * sum(received), "each takes its part"
        assert [one.stop() for one in instances] == [0, 0]
    finally:
        server.kill()


def test_what_leads_back_to_it_does_not_go_round(
    tmp_path: Path, aggregator_process: NewAggregator
) -> None:
    """A mapping of what it writes to what it reads is a mistake that no setting shows."""
    server = NatsServer(tmp_path / "nats", 'mappings: { "token.>": "raw.token.>" }').start()
    try:
        aggregator = started(aggregator_process, server, WS_AGGREGATE_WINDOW_MS=1)
        with Publisher(server) as publisher:
            publisher.publish(EVENT, b"1")
            publisher.flush()
            until(
                lambda: aggregator.metric('ws_aggregate_republished_total{kind="event"}') == 1,
                "the event",
            )
            publisher.publish(STATE, b"1")  # behind what would have come back
            publisher.flush()
            until(
                lambda: aggregator.metric('ws_aggregate_republished_total{kind="state"}') == 1,
                "the state",
            )
        assert aggregator.metric('ws_feed_messages_total{source="nats"}') == 2
    finally:
        server.kill()


def test_another_prefix_on_the_way_out(
    nats_server: NatsServer, aggregator_process: NewAggregator
) -> None:
    started(
        aggregator_process,
        nats_server,
        WS_AGGREGATE_TO="agg",
        NATS_SUBJECTS="agg.token.>",
        WS_RULES='[{"subject":"agg.token.>","type":"t","kind":"event"}]',
    )
    with Reader(nats_server, "agg.>") as reader, Publisher(nats_server) as publisher:
        publish(publisher, STATE, b"1")
        reader.until_last(f"agg.{STATE}", b"1")


@on_loop
async def test_browsers_get_what_it_republishes_and_its_gaps(
    nats_server: NatsServer, aggregator_process: NewAggregator, gateway_process: NewGateway
) -> None:
    gateway = gateway_process(NATS_URL=nats_server.url, WS_AGGREGATE_FROM="raw").start()
    gateway.until_ready()
    client = await Client.connect(gateway.port)
    await client.subscribe(STATE, EVENT)
    aggregator = started(aggregator_process, nats_server)
    assert await client.message() == {"type": "gap", "channels": CHANNELS}
    with Publisher(nats_server) as publisher:
        publish(publisher, STATE, b"1")
        assert (await client.message())["data"] == 1
        publish(publisher, EVENT, b"2")
        assert (await client.message())["data"] == 2
        publisher.publish(GAP_SUBJECT, b"nonsense")
        publish(publisher, EVENT, b"3")
        assert (await client.message())["data"] == 3
    assert aggregator.stop() == 0
    client.close()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "WS_AGGREGATE_FROM is not set: say what raw subjects begin with, such as raw"),
        (
            {"WS_AGGREGATE_FROM": "raw", "NATS_SUBJECTS": ">"},
            "it writes, for ever: 'raw.>' overlaps '>'",
        ),
        (
            {"WS_AGGREGATE_FROM": "token", "NATS_SUBJECTS": "token.>"},
            "it writes, for ever: 'token.token.>' overlaps 'token.>'",
        ),
    ],
)
def test_it_does_not_start_where_it_would_read_what_it_writes(
    settings: dict[str, str], said: str
) -> None:
    done = wsgate("aggregate", **settings)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_port_that_is_taken_is_named(aggregator_process: NewAggregator) -> None:
    first = aggregator_process().start()
    done = wsgate(
        "aggregate", WS_AGGREGATE_FROM="raw", WS_HOST="127.0.0.1", WS_ADMIN_PORT=first.admin_port
    )
    assert done.returncode == 1
    assert "(WS_ADMIN_PORT): Address already in use" in done.stderr
    assert first.stop() == 0


def test_healthcheck_asks_it_as_well(aggregator_process: NewAggregator) -> None:
    aggregator = aggregator_process().start()
    where = {"WS_HOST": "127.0.0.1", "WS_ADMIN_PORT": aggregator.admin_port}
    assert wsgate("healthcheck", **where).returncode == 0
    done = wsgate("healthcheck", "--ready", **where)
    assert (done.returncode, "nats: not connected" in done.stdout) == (1, True)
