"""What operators see of several workers: one page, which a real Prometheus reads; what is busy."""

from __future__ import annotations

import json
import os
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.support.conversation import Browser, browser
from tests.support.issuer import SECRET
from tests.support.loop import on_loop
from tests.support.nats import NatsServer, Publisher, nats_server
from tests.support.process import GatewayProcess, gateway_process, until
from tests.support.prometheus import Prometheus, promtool_complaints

__all__ = ["gateway_process", "nats_server"]  # fixtures

NewGateway = Callable[..., GatewayProcess]

WORKERS = 2
EVENT = "token.abc.comment"
STATE = "token.abc.update"
# The kernel spreads clients by a hash: that all of so many come to one worker happens once in 2^23.
CLIENTS = 24
PUBLISHED = 50
LAG = "ws_event_loop_lag_seconds_count"


@asynccontextmanager
async def under_load(
    nats_server: NatsServer, gateway: GatewayProcess
) -> AsyncIterator[list[Browser]]:
    """Clients that were sent something, by all workers."""
    gateway.until_ready()
    until(lambda: gateway.metric('ws_feed_live{source="nats"}') == WORKERS, "live workers")
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(browser(gateway.port)) for _ in range(CLIENTS)]
        for client in clients:
            await client.subscribe(EVENT, STATE)
        with Publisher(nats_server) as publisher:
            for number in range(PUBLISHED):
                publisher.publish(EVENT, b"%d" % number)
            publisher.publish("global.other", b"1")
            publisher.flush()
            for client in clients:
                await client.messages(PUBLISHED)
        yield clients


def families(gateway: GatewayProcess) -> list[Metric]:
    status, text = gateway.get("/metrics")
    assert status == 200
    return list(text_string_to_metric_families(text))


def by_worker(found: list[Metric], sample_name: str) -> dict[str, float]:
    """A sample of each worker, summed over its other labels."""
    totals: Counter[str] = Counter()
    for family in found:
        for sample in family.samples:
            if sample.name == sample_name:
                totals[sample.labels["worker"]] += sample.value
    return dict(totals)


def histograms(found: list[Metric]) -> Iterator[tuple[str, list[float], float]]:
    """Of each: which it is, its buckets in their order, its count."""
    for family in found:
        if family.type != "histogram":
            continue
        buckets: dict[str, list[float]] = {}
        counts: dict[str, float] = {}
        for sample in family.samples:
            labels = {label: value for label, value in sample.labels.items() if label != "le"}
            which = f"{family.name} {labels}"
            if sample.name.endswith("_bucket"):
                buckets.setdefault(which, []).append(sample.value)
            elif sample.name.endswith("_count"):
                counts[which] = sample.value
        assert set(buckets) == set(counts)
        for which, found_buckets in buckets.items():
            yield which, found_buckets, counts[which]


@on_loop
async def test_the_page_of_two_workers_is_one_valid_page(
    nats_server: NatsServer, gateway_process: NewGateway
) -> None:
    gateway = gateway_process(NATS_URL=nats_server.url, WS_WORKERS=WORKERS).start()
    async with under_load(nats_server, gateway):
        until(lambda: min(by_worker(families(gateway), LAG).values()) > 0, "a first look at lag")
        found = families(gateway)
        names = Counter(family.name for family in found)
        assert set(names.values()) == {1}, "each has one HELP and one TYPE"
        for family in found:
            assert family.documentation and family.type != "unknown"
            labels = [tuple(sample.labels.items()) for sample in family.samples]
            series = Counter(zip((one.name for one in family.samples), labels, strict=True))
            assert set(series.values()) == {1}, family.name

        told = {"0", "1"}
        connections = by_worker(found, "ws_connections_current")
        assert set(connections) == told
        assert sum(connections.values()) == CLIENTS
        assert min(connections.values()) > 0
        assert set(by_worker(found, "process_start_time_seconds")) == told | {"supervisor"}
        assert by_worker(found, "ws_publications_total") == dict.fromkeys(told, PUBLISHED + 1)
        sent = by_worker(found, "ws_messages_sent_total")
        assert sent == {worker: count * PUBLISHED for worker, count in connections.items()}
        assert by_worker(found, "ws_subscriptions_per_client_count") == connections
        assert by_worker(found, "ws_subscriptions_per_client_sum") == {
            worker: 2 * count for worker, count in connections.items()
        }
        assert by_worker(found, "ws_subscribers_per_channel_sum") == {
            worker: 2 * count for worker, count in connections.items()
        }
        for worker in told:
            assert 1 <= by_worker(found, "ws_message_latency_seconds_count")[worker] <= PUBLISHED

        seen = 0
        for which, buckets, count in histograms(found):
            assert buckets == sorted(buckets), which
            assert buckets[-1] == count, which
            seen += 1
        assert seen >= 8 * WORKERS
    gateway.until_metric("ws_connection_duration_seconds_count", lambda count: count == CLIENTS)


@on_loop
async def test_the_busiest_channels_of_all_workers(
    nats_server: NatsServer, gateway_process: NewGateway
) -> None:
    gateway = gateway_process(NATS_URL=nats_server.url, WS_WORKERS=WORKERS).start()
    async with under_load(nats_server, gateway):
        status, text = gateway.get("/debug/channels?top=2")
        assert status == 200
        assert json.loads(text) == {
            "channels": [
                {
                    "channel": EVENT,
                    "type": "token_comment",
                    "kind": "event",
                    "subscribers": CLIENTS,
                    "publications": PUBLISHED,
                    "seq": {"0": PUBLISHED, "1": PUBLISHED},
                },
                {
                    "channel": "global.other",
                    "type": "global_update",
                    "kind": "event",
                    "subscribers": 0,
                    "publications": 1,
                    "seq": {"0": 1, "1": 1},
                },
            ]
        }
        assert len(json.loads(gateway.get("/debug/channels?top=1")[1])["channels"]) == 1


def test_a_worker_that_was_replaced_counts_from_0_and_says_so(
    gateway_process: NewGateway,
) -> None:
    gateway = gateway_process(WS_WORKERS=WORKERS).start()
    until(lambda: by_worker(families(gateway), LAG)["0"] >= 20, "something that was counted")
    before = by_worker(families(gateway), "process_start_time_seconds")
    victim = next(
        one for one in gateway.log if one["event"] == "worker started" and one["worker"] == 0
    )
    os.kill(victim["pid"], signal.SIGKILL)

    def replaced() -> list[Metric]:
        found = families(gateway)
        began = by_worker(found, "process_start_time_seconds")
        return found if began.get("0", 0.0) > before["0"] else []

    until(replaced, "another worker in its place")
    found = replaced()
    after = by_worker(found, "process_start_time_seconds")
    assert after == {**before, "0": after["0"]}
    lags = by_worker(found, LAG)
    assert lags["0"] < lags["1"]
    assert gateway.metric("ws_worker_deaths_total") == 1
    assert gateway.stop() == 0


@pytest.mark.parametrize("auth", ["none", "jwt"])
def test_promtool_has_nothing_to_say(gateway_process: NewGateway, auth: str) -> None:
    settings: dict[str, Any] = {"WS_AUTH": auth, "WS_WORKERS": WORKERS}
    if auth == "jwt":
        settings["WS_JWT_SECRET"] = SECRET.decode()
    gateway = gateway_process(**settings).start()
    status, page = gateway.get("/metrics")
    assert status == 200
    assert ("ws_auth_accepted_total" in page) == (auth == "jwt")
    assert promtool_complaints(page) == ""
    assert promtool_complaints(page + "no_help_total 1\n") != "", "it does look"


def documented_expressions() -> list[str]:
    """What operators are told to ask Prometheus for."""
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    _, _, rest = page.partition("### How to read them")
    text, _, _ = rest.partition("\n## ")
    return [one for one in re.findall(r"`([^`]+)`", text) if re.search(r"\b(ws|process)_\w+", one)]


@on_loop
async def test_prometheus_reads_what_is_there(
    nats_server: NatsServer, gateway_process: NewGateway, tmp_path: Path
) -> None:
    gateway = gateway_process(NATS_URL=nats_server.url, WS_WORKERS=WORKERS).start()
    prometheus = Prometheus(tmp_path / "prometheus", gateway.admin_port)
    try:
        prometheus.start()
        async with under_load(nats_server, gateway):
            nothing: tuple[tuple[str, str], ...] = ()
            until(
                lambda: (
                    prometheus.query("sum(ws_messages_sent_total)").get(nothing)
                    == CLIENTS * PUBLISHED
                ),
                "what was sent to be known to Prometheus",
            )
            assert prometheus.query("up") == {nothing: 1}
            assert prometheus.query("sum(ws_connections_current)") == {nothing: CLIENTS}
            by_type = prometheus.query("sum by (type) (ws_publications_total) > 0")
            assert by_type == {
                (("type", "token_comment"),): WORKERS * PUBLISHED,
                (("type", "global_update"),): WORKERS,
            }
            mean = "sum(ws_subscribers_per_channel_sum) / max(ws_subscribers_per_channel_count)"
            # Of three channels: two have all clients, one was published and has nobody.
            assert prometheus.query(mean)[nothing] == pytest.approx(2 * CLIENTS / 3)
            # Each client has 2 subscriptions: so has the median, to within its bucket.
            median = "histogram_quantile(0.5, sum by (le) (ws_subscriptions_per_client_bucket))"
            assert 1 < prometheus.query(median)[nothing] <= 2

            expressions = documented_expressions()
            assert {median, mean} <= set(expressions)
            names = {family.name for family in families(gateway)}
            for expression in expressions:
                prometheus.query(expression)  # which it understands
                for name in re.findall(r"\bws_\w+", expression):
                    plain = re.sub(r"_(total|bucket|sum|count)$", "", name)
                    assert plain in names or plain.startswith(("ws_auth_", "ws_tls_")), name
    finally:
        prometheus.kill()
