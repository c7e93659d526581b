"""What happens in a gateway is counted, and told as Prometheus has it."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.metered import (
    Client,
    Gateway,
    Samples,
    Socket,
    flushed,
    rule,
    scrape,
    subscribe,
    subscribe_also,
    with_gateway,
)
from wsgate import flush
from wsgate.metrics import auth as auth_metrics
from wsgate.metrics import feeds
from wsgate.rules import DEFAULT_RULES

UPDATE, COMMENT = DEFAULT_RULES[0], DEFAULT_RULES[1]


def test_what_happens_is_counted() -> None:
    async def test(gateway: Gateway, sink: Socket) -> None:
        hub = gateway.hub
        clients = [await subscribe(hub, "token.a.comment") for _ in range(3)]
        await subscribe(hub, "token.*.comment")
        assert hub.publish("token.a.comment", b"{}")
        assert hub.publish("token.b.update", b"{}")
        assert not hub.publish("token.a.comment", b"{")
        assert not hub.publish("elsewhere", b"{}")
        await flushed(hub)
        hub.lost(clients[0])  # type: ignore[arg-type]
        gateway.upgrade.refused["capacity"] = 7
        gateway.acceptor.accepted, gateway.acceptor.restarts = 11, 2
        gateway.handshakes.expired, gateway.handshakes.under_way = 5, 3
        gateway.hub.turns.put_off = 6
        gateway.handshakes.shed, gateway.handshakes.refused["handshakes"] = 9, 8

        seen = scrape(gateway)
        assert seen["ws_connections_current", ()] == 3
        assert seen["ws_connections_total", ()] == 4
        assert seen["ws_connections_closed_total", (("reason", "lost"),)] == 1
        assert seen["ws_connections_closed_total", (("reason", "slow_consumer"),)] == 0
        assert seen["ws_commands_put_off_total", ()] == 6
        assert seen["ws_sockets_accepted_total", ()] == 11
        assert seen["ws_accept_restarts_total", ()] == 2
        assert seen["ws_handshakes_refused_total", (("reason", "capacity"),)] == 7
        assert seen["ws_handshakes_refused_total", (("reason", "handshakes"),)] == 8
        assert seen["ws_handshakes_expired_total", ()] == 5
        assert seen["ws_handshakes_shed_total", ()] == 9
        assert seen["ws_handshakes_current", ()] == 3
        assert seen["ws_handshakes_refused_total", (("reason", "not_a_websocket"),)] == 0
        assert seen["ws_subscriptions_current", ()] == 3
        assert seen["ws_channels_current", ()] == 2
        assert seen["ws_publications_total", rule(UPDATE)] == 1
        assert seen["ws_publications_total", rule(COMMENT)] == 1
        assert seen["ws_publications_unwanted_total", ()] == 1
        assert seen["ws_publications_refused_total", (("reason", "not_json"),)] == 1
        assert seen["ws_publications_refused_total", (("reason", "no_rule"),)] == 1
        assert seen["ws_publications_refused_total", (("reason", "too_large"),)] == 0
        assert seen["ws_messages_sent_total", rule(COMMENT)] == 4
        assert seen["ws_messages_sent_total", rule(UPDATE)] == 0
        assert seen["ws_replies_sent_total", ()] == 4
        assert seen["ws_sent_bytes_total", ()] > 4 * len(b"{}")
        assert seen["ws_messages_dropped_total", (("reason", "overflow"),)] == 0
        assert seen["process_open_fds", ()] > 0
        assert any(name == "python_info" for name, _ in seen)

    with_gateway(test)


def test_what_is_owed_is_a_level() -> None:
    async def test(gateway: Gateway, sink: Socket) -> None:
        hub = gateway.hub
        event = await subscribe(hub, "token.a.comment")
        state = await subscribe(hub, "token.a.update")
        await flushed(hub)
        sink.full = True
        for number in b"123":
            hub.publish("token.a.comment", b"[%d]" % number)
            hub.publish("token.a.update", b"[%d]" % number)
            await flushed(hub)

        seen = scrape(gateway)
        assert seen["ws_blocked_connections", ()] == 2
        assert seen["ws_writes_blocked_total", ()] == 2
        assert seen["ws_backlog_events", ()] == 2
        assert seen["ws_backlog_bytes", ()] > 0
        assert seen["ws_backlog_states", ()] == 1
        assert seen["ws_messages_conflated_total", (("reason", "owed"),)] == 1
        assert seen["ws_messages_conflated_total", (("reason", "gathered"),)] == 0

        for client in (event, state):
            hub.lost(client)  # type: ignore[arg-type]
        seen = scrape(gateway)
        assert seen["ws_backlog_events", ()] == seen["ws_backlog_states", ()] == 0
        assert seen["ws_blocked_connections", ()] == 0

    with_gateway(test)


def buckets(seen: Samples, name: str, **labels: str) -> dict[str, float]:
    """How many a histogram has up to each bound."""
    found = {}
    for (sample, pairs), value in seen.items():
        rest = dict(pairs)
        bound = rest.pop("le", "")
        if sample == f"{name}_bucket" and rest == labels:
            found[bound] = value
    return found


def test_a_histogram_is_told_as_prometheus_has_it() -> None:
    async def test(gateway: Gateway, sink: Socket) -> None:
        for lag in (0.0005, 0.05, 0.06, 7.0):
            gateway.stalls.lag.observe(lag)
        gateway.stalls.pauses[2].observe(0.5)
        seen = scrape(gateway)
        assert buckets(seen, "ws_event_loop_lag_seconds") == {"0.001": 1, "0.1": 3, "+Inf": 4}
        assert seen["ws_event_loop_lag_seconds_count", ()] == 4
        assert seen["ws_event_loop_lag_seconds_sum", ()] == pytest.approx(7.1105)
        oldest = (("generation", "2"),)
        assert seen["ws_gc_pause_seconds_count", oldest] == 1
        assert seen["ws_gc_pause_seconds_count", (("generation", "0"),)] == 0
        assert buckets(seen, "ws_gc_pause_seconds", generation="2") == {"0.01": 0, "+Inf": 1}

    with_gateway(test)


def test_how_long_connections_lasted_is_told_when_they_end() -> None:
    async def test(gateway: Gateway, sink: Socket) -> None:
        hub = gateway.hub
        short, long = [await subscribe(hub, "token.a.comment") for _ in range(2)]
        assert scrape(gateway)["ws_connection_duration_seconds_count", ()] == 0
        long.opened_ms -= 100_000
        hub.lost(short)  # type: ignore[arg-type]
        hub.lost(long)  # type: ignore[arg-type]
        seen = scrape(gateway)
        assert 100 <= seen["ws_connection_duration_seconds_sum", ()] < 160
        found = buckets(seen, "ws_connection_duration_seconds")
        assert (found["60.0"], found["300.0"], found["+Inf"]) == (1, 2, 2)

    with_gateway(test)


def test_subscriptions_are_told_as_they_are_now() -> None:
    async def test(gateway: Gateway, sink: Socket) -> None:
        hub = gateway.hub
        first = await subscribe(hub, "token.a.comment")
        await subscribe(hub, "token.a.comment")
        await subscribe_also(hub, first, "token.b.update", "global.>")
        seen = scrape(gateway)
        found = buckets(seen, "ws_subscriptions_per_client")
        assert (found["0.0"], found["1.0"], found["2.0"], found["5.0"]) == (0, 1, 1, 2)
        assert seen["ws_subscriptions_per_client_sum", ()] == 4
        found = buckets(seen, "ws_subscribers_per_channel")
        assert (found["0.0"], found["1.0"], found["2.0"], found["+Inf"]) == (0, 1, 2, 2)
        assert seen["ws_subscribers_per_channel_sum", ()] == 3  # not who has a pattern

        hub.lost(first)  # type: ignore[arg-type]
        seen = scrape(gateway)
        assert seen["ws_subscriptions_per_client_count", ()] == 1
        assert seen["ws_subscribers_per_channel_sum", ()] == 1

    with_gateway(test)


def test_latency_is_observed_once_for_each_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.0
    monkeypatch.setattr(flush, "now_s", lambda: now_s)

    async def test(gateway: Gateway, sink: Socket) -> None:
        nonlocal now_s
        hub = gateway.hub
        for _ in range(5):
            await subscribe(hub, "token.a.comment")
        await flushed(hub)
        assert scrape(gateway)["ws_message_latency_seconds_count", ()] == 0, "replies are none"
        for _ in range(3):
            hub.publish("token.a.comment", b"{}")
        now_s += 0.03  # what the loop does meanwhile counts
        hub.publish("token.a.comment", b"{}")
        await flushed(hub)
        seen = scrape(gateway)
        assert seen["ws_messages_sent_total", rule(COMMENT)] == 20
        assert seen["ws_message_latency_seconds_count", ()] == 1
        waited_s = seen["ws_message_latency_seconds_sum", ()]
        assert waited_s == pytest.approx(0.03), "from the first publication"
        assert seen["ws_flush_slice_seconds_count", ()] == 1
        assert seen["ws_flush_slice_seconds_sum", ()] == 0

        hub.publish("token.b.update", b"{}")  # nobody wants it
        await asyncio.sleep(0)  # at the end of this round it would be flushed
        await asyncio.sleep(0)
        assert scrape(gateway)["ws_message_latency_seconds_count", ()] == 1

    with_gateway(test)


def test_latency_ends_with_the_last_slice_of_a_flush() -> None:
    async def test(gateway: Gateway, sink: Socket) -> None:
        hub = gateway.hub
        for _ in range(300):
            client = Client()
            hub.opened(client)  # type: ignore[arg-type]
            hub.core.subscribe(
                client.handle, "token.a.comment", DEFAULT_RULES.index("token.a.comment")
            )  # type: ignore[arg-type]
        hub._flushing._visits = 64
        before = scrape(gateway)["ws_flush_slice_seconds_count", ()]
        hub.publish("token.a.comment", b"{}")
        await flushed(hub)
        seen = scrape(gateway)
        assert seen["ws_flush_slice_seconds_count", ()] > before + 1
        assert seen["ws_message_latency_seconds_count", ()] == 1
        assert seen["ws_message_latency_seconds_sum", ()] >= seen["ws_flush_slice_seconds_sum", ()]

    with_gateway(test)


def test_frames_are_told_by_format() -> None:
    async def test(gateway: Gateway, sink: Socket) -> None:
        hub = gateway.hub
        plain, inflating = Client(), Client()
        inflating.window_bits = 15
        for client in (plain, inflating):
            hub.opened(client)  # type: ignore[arg-type]
            await subscribe_also(hub, client, "token.a.comment")
        hub.publish("token.a.comment", b'"%s"' % (b"all the same " * 100))
        await flushed(hub)
        seen = scrape(gateway)
        whole, deflated = (("format", "json"),), (("format", "json_deflate"),)
        for format in (whole, deflated):
            assert seen["ws_frames_encoded_total", format] == 1
        saved = seen["ws_frames_deflated_saved_bytes_total", ()]
        assert seen["ws_frames_encoded_bytes_total", whole] == (
            seen["ws_frames_encoded_bytes_total", deflated] + saved
        )
        assert saved > 1000

    with_gateway(test)


def test_deltas_are_told_by_format_and_keyframes_apart() -> None:
    async def test(gateway: Gateway, sink: Socket) -> None:
        hub = gateway.hub
        plain, speaking = Client(), Client()
        speaking.speaks_delta = True
        for client in (plain, speaking):
            hub.opened(client)  # type: ignore[arg-type]
            await subscribe_also(hub, client, "token.a.comment")
        text = b"all the same " * 20
        for number in range(10):
            hub.publish("token.a.comment", b'"%s%d"' % (text, 7**number))
            await flushed(hub)
        seen = scrape(gateway)
        whole, delta = (("format", "json"),), (("format", "json_delta"),)
        for format in (whole, delta):
            assert seen["ws_frames_encoded_total", format] == 10
        saved = seen["ws_frames_delta_saved_bytes_total", ()]
        assert seen["ws_frames_encoded_bytes_total", whole] == (
            seen["ws_frames_encoded_bytes_total", delta] + saved
        )
        assert saved > 2500
        assert seen["ws_keyframes_sent_total", ()] == 1
        assert 50 < seen["ws_keyframes_sent_bytes_total", ()] < 200
        assert seen["ws_keyframes_renewed_total", ()] >= 1

    with_gateway(test)


def test_sources_report_what_they_have() -> None:
    async def test(gateway: Gateway, sink: Socket) -> None:
        nats, local = (("source", "nats"),), (("source", "local"),)
        seen = scrape(gateway)
        assert seen["ws_feed_live", local] == 0
        assert seen["ws_feed_messages_total", nats] == 1
        assert ("ws_feed_reconnects_total", local) not in seen
        for place, named in enumerate(feeds.TOTALS.values(), 1):
            assert seen[f"{named.name}_total", nats] == place
        for place, named in enumerate(feeds.LEVELS.values(), len(feeds.TOTALS) + 1):
            assert seen[named.name, nats] == place
        assert seen["ws_feed_stream_resets_total", (("reason", "silent"), *nats)] == 7
        assert seen["ws_feed_stream_seq", (*nats, ("stream", "TOKENS"))] == 8

        await gateway.sources[1].start()
        gateway.hub.publish("token.a.update", b"{}")
        assert scrape(gateway)["ws_feed_live", local] == 1

        gateway.sources.clear()
        assert not any(name.startswith("ws_feed") for name, _ in scrape(gateway))

    with_gateway(test)


def test_tls_is_reported_where_there_is_any() -> None:
    async def test(gateway: Gateway, sink: Socket) -> None:
        gateway.handshakes.tls_failed = 6
        seen = scrape(gateway)
        assert seen["ws_tls_handshakes_failed_total", ()] == 6
        assert seen["ws_tls_certificate_expires_timestamp_seconds", ()] == 2e9
        assert seen["ws_tls_reloads_total", ()] == 3
        assert seen["ws_tls_reload_failures_total", ()] == 4

        gateway.tls = None
        assert not any(name.startswith("ws_tls") for name, _ in scrape(gateway))

    with_gateway(test)


def test_authentication_is_reported_where_there_is_any() -> None:
    async def test(gateway: Gateway, sink: Socket) -> None:
        assert gateway.authenticator is not None
        counts = gateway.authenticator.counts
        gateway.hub.control("wsgate.control.revoke", b"nonsense")
        seen = scrape(gateway)
        for key, reason in auth_metrics.REFUSALS.items():
            assert seen["ws_auth_refused_total", (("reason", reason),)] == counts[key]
        for key, named in auth_metrics.TOTALS.items():
            assert seen[f"{named.name}_total", ()] == counts[key]
        for key, named in auth_metrics.LEVELS.items():
            assert seen[named.name, ()] == counts[key]
        assert seen["ws_auth_revocations_refused_total", ()] == 1

        gateway.authenticator = None
        assert not any(name.startswith("ws_auth") for name, _ in scrape(gateway))

    with_gateway(test)
