"""Metrics of publications: from the hub's door to the sockets, and what waits in between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from wsgate.histogram import Histogram
from wsgate.hub import Hub
from wsgate.metrics.families import Named, by_reason, counter, counters, gauge, histogram
from wsgate.regulator import BROADCAST, TAKEN, Regulator

SUBSCRIBERS: Final = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 100_000)

BY_RULE: Final = {
    "publications": Named(
        "ws_publications", "Publications that sources delivered and the hub accepted."
    ),
    "deliveries": Named(
        "ws_messages_sent", "Publications written to connections, one for each that got it."
    ),
}

FORMATS: Final = {
    "json": "frames_encoded",
    "json_deflate": "frames_deflated",
    "json_delta": "frames_delta",
}

TOTALS: Final = {
    "publications_unwanted": Named(
        "ws_publications_unwanted",
        "Accepted publications that nobody was subscribed to.",
    ),
    "publications_repeated": Named(
        "ws_publications_repeated",
        "Publications whose position was not above the channel's last: ignored.",
    ),
    "frames_deflated_saved_bytes": Named(
        "ws_frames_deflated_saved_bytes",
        "Bytes that the frames of json_deflate have more as json.",
    ),
    "frames_delta_saved_bytes": Named(
        "ws_frames_delta_saved_bytes", "Bytes that the frames of json_delta have more as json."
    ),
    "keyframes_renewed": Named(
        "ws_keyframes_renewed",
        "Publications that became the keyframe of their channel, in place of an older one.",
    ),
    "keyframes_sent": Named(
        "ws_keyframes_sent",
        "Keyframes written before a publication, to connections that lacked it.",
    ),
    "keyframes_sent_bytes": Named("ws_keyframes_sent_bytes", "Bytes of these."),
    "replies": Named("ws_replies_sent", "Replies, pings, pongs and closes written to connections."),
    "writes": Named("ws_writes", "Write calls to sockets; one carries all that is owed just then."),
    "written_bytes": Named(
        "ws_sent_bytes", "Bytes written to connections, frame headers included."
    ),
    "blocked": Named(
        "ws_writes_blocked", "Writes that the kernel took only in part: the client reads slowly."
    ),
    "gaps": Named("ws_gaps", "Gap messages queued: somebody was told that events are missing."),
    "purged": Named(
        "ws_messages_purged", "Publications owed when their subscription ended, and not sent."
    ),
    "channels_evicted": Named(
        "ws_channels_evicted", "Channels forgotten, the longest unused first, to make room."
    ),
}

CONFLATED: Final = {
    "gathered": "conflated_gathered",
    "owed": "conflated_owed",
    "max_rate": "conflated_held",
}
DROPPED: Final = {
    "overflow": "dropped_gap",
    "slow_consumer": "dropped_close",
    "rate": "dropped_rate",
}

BACKLOG: Final = {
    "events_bytes": Named("ws_backlog_bytes", "Bytes of events that connections are owed."),
    "events": Named("ws_backlog_events", "Events that connections are owed."),
    "states": Named("ws_backlog_states", "State values that connections are owed."),
    "paused_connections": Named(
        "ws_paused_connections", "Connections that asked for no publications for now."
    ),
    "blocked_connections": Named(
        "ws_blocked_connections", "Connections whose socket takes no more at the moment."
    ),
}

PUBLICATION_REFUSALS: Final = (
    "not_json",
    "too_large",
    "bad_subject",
    "no_rule",
    "too_many_channels",
)


def publication_metrics(hub: Hub) -> Iterator[Metric]:
    core = hub.core
    totals = core.counters.snapshot()
    yield gauge(
        "ws_subscriptions_current", "Subscriptions of all connections.", core.index.subscriptions
    )
    yield gauge("ws_channels_current", "Channels that are remembered.", core.channels.count)
    yield histogram(
        "ws_subscribers_per_channel",
        "Subscribers of each channel by its name, not by a pattern, as it is now; it can go down.",
        Histogram.counted(SUBSCRIBERS, *core.subscribers_per_channel(SUBSCRIBERS)),
    )
    yield from _by_rule(hub)
    yield by_reason(
        "ws_publications_refused",
        "Publications from sources that the hub did not accept; one that a stream keeps counts"
        " whenever it is read.",
        hub.refused,
        PUBLICATION_REFUSALS,
    )
    yield histogram(
        "ws_message_latency_seconds",
        "Once for each flush: from when its first publication was received to its last write, so"
        " that no message took longer but for blocked clients and those with a max_rate.",
        hub.latency,
    )
    yield counters(
        "ws_frames_encoded",
        "Publications encoded into a frame, once for all who get it in this format.",
        "format",
        {format: totals[key] for format, key in FORMATS.items()},
    )
    yield counters(
        "ws_frames_encoded_bytes",
        "Bytes of the frames encoded.",
        "format",
        {format: totals[f"{key}_bytes"] for format, key in FORMATS.items()},
    )
    for key, named in TOTALS.items():
        yield counter(named.name, named.help, totals[key])
    yield by_reason(
        "ws_messages_conflated",
        "State updates replaced by a newer one: before anybody was owed them (gathered), in what"
        " a client was owed, or while its max_rate held them back.",
        {reason: totals[key] for reason, key in CONFLATED.items()},
    )
    yield by_reason(
        "ws_messages_dropped",
        "Events that did not fit into what a client may be owed: it was told by a gap (overflow),"
        " or closed (slow_consumer). Or past a rate that publications are limited to, with a gap.",
        {reason: totals[key] for reason, key in DROPPED.items()},
    )
    yield from _limited(hub.regulator)
    yield gauge(
        "ws_flush_window_seconds",
        "How long publications wait for others to share a write, at most; 0: for nothing.",
        hub.window_s,
    )
    backlog = core.delivery.backlog()
    for key, named in BACKLOG.items():
        yield gauge(named.name, named.help, backlog[key])
    yield from _recovery(hub)


def _recovery(hub: Hub) -> Iterator[Metric]:
    events = GaugeMetricFamily(
        "ws_history_events", "Events that are kept for who comes back.", labels=["subject", "type"]
    )
    size = GaugeMetricFamily(
        "ws_history_bytes", "Bytes that these take.", labels=["subject", "type"]
    )
    for place, rule in enumerate(hub.rules):
        kept, kept_bytes = hub.core.history.of_rule(place)
        events.add_metric([rule.subject, rule.type], kept)
        size.add_metric([rule.subject, rule.type], kept_bytes)
    yield events
    yield size
    yield by_reason(
        "ws_recoveries",
        "Channels that clients asked to recover: all that was missing was sent, or nothing.",
        hub.subscriptions.recoveries,
        ("whole", "refused"),
    )
    yield by_reason(
        "ws_replays",
        "Channels asked of their stream, for what was no longer in memory: found, missing there"
        " too, or refused since too much was asked for.",
        hub.subscriptions.replays.outcomes,
        ("found", "missing", "refused"),
    )


def _by_rule(hub: Hub) -> Iterator[Metric]:
    """Labelled like the rule: operators chose its words, and there are few."""
    found = [(rule, hub.core.counters.of_rule(place)) for place, rule in enumerate(hub.rules)]
    for key, named in BY_RULE.items():
        family = CounterMetricFamily(*named, labels=["subject", "type"])
        for rule, totals in found:
            family.add_metric([rule.subject, rule.type], totals[key])
        yield family


def _limited(regulator: Regulator | None) -> Iterator[Metric]:
    """Two labels, and in sum what the rates cost."""
    family = CounterMetricFamily(
        "ws_publications_limited",
        "Publications past a rate (limit): an event that was dropped, or a state that took the"
        " place of one that waited (outcome).",
        labels=["limit", "outcome"],
    )
    for limit in (TAKEN, BROADCAST):
        conflated = 0 if regulator is None else regulator.conflated[limit]
        dropped = 0 if regulator is None else regulator.dropped[limit]
        family.add_metric([limit, "conflated"], conflated)
        family.add_metric([limit, "dropped"], dropped)
    yield family
    yield gauge(
        "ws_publications_waiting",
        "State values that wait for a rate.",
        0 if regulator is None else regulator.waiting,
    )
