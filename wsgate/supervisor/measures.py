"""What the supervisor itself has to tell in metrics: workers, tickets, and what it publishes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from prometheus_client.core import Metric

from wsgate.auth.tickets import Tickets
from wsgate.metrics.families import Named, counter, counters, gauge
from wsgate.supervisor.fleet import Fleet
from wsgate.supervisor.publishing import Publishing
from wsgate.supervisor.relay import Relay

if TYPE_CHECKING:  # loaded only where there is one
    from wsgate.sources.poll import PollSource

TICKET_TOTALS: Final = {
    "issued": Named("ws_auth_tickets_issued", "Tickets given for a token."),
    "redeemed": Named("ws_auth_tickets_redeemed", "Tickets used in time."),
    "expired": Named("ws_auth_tickets_expired", "Tickets that nobody used in time."),
    "pushed_out": Named(
        "ws_auth_tickets_pushed_out", "Tickets forgotten before their time, to make room."
    ),
    "unknown": Named(
        "ws_auth_tickets_unknown", "Tickets shown that were made up, used, or forgotten."
    ),
}


def fleet_metrics(fleet: Fleet, tickets: Tickets | None) -> Iterator[Metric]:
    """The samples that are no worker's."""
    yield gauge("ws_workers", "Workers that there should be.", fleet.size)
    yield gauge("ws_workers_serving", "Workers that serve clients.", len(fleet.workers))
    yield counter("ws_worker_deaths", "Workers that ended and should not have.", fleet.deaths)
    yield counter("ws_worker_stuck", "Workers killed since they did not answer.", fleet.stuck)
    yield counter(
        "ws_worker_restarts", "Workers replaced because that was asked for.", fleet.restarts
    )
    yield counter(
        "ws_worker_answers_missing",
        "Questions, such as for metrics, that a worker did not answer in time.",
        fleet.silent,
    )
    yield gauge("ws_cores_in_use", "CPU of all workers over the last second.", fleet.load.cores)
    yield gauge(
        "ws_memory_in_use_bytes",
        "Memory of all workers, without what they share with files.",
        fleet.load.memory_bytes,
    )
    yield gauge(
        "ws_overloaded", "1 while new clients are refused for that.", fleet.board.overloaded
    )
    yield counter(
        "ws_overloads", "Times WS_CPU_LIMIT or WS_MEMORY_LIMIT were passed.", fleet.load.overloads
    )
    if tickets is None:
        return
    found = tickets.snapshot()
    for key, named in TICKET_TOTALS.items():
        yield counter(named.name, named.help, found[key])
    yield gauge("ws_auth_tickets_current", "Tickets that may still be used.", found["held"])


def relay_metrics(relay: Relay) -> Iterator[Metric]:
    """What the supervisor tells workers of publications."""
    values = relay.last_values
    yield gauge(
        "ws_relay_last_values", "Last values kept for workers that are to come.", len(values)
    )
    yield gauge(
        "ws_relay_last_values_bytes", "Memory that these take, by an estimate.", values.bytes
    )
    yield counter(
        "ws_relay_last_values_forgotten",
        "Last values forgotten, the longest not renewed first, to make room.",
        values.forgotten,
    )
    yield counter(
        "ws_relay_lags", "Times a worker did not read what it was told, and was owed.", relay.lags
    )


def poll_metrics(poll: PollSource | None) -> Iterator[Metric]:
    """Nothing if nobody is asked."""
    if poll is None:
        return
    from wsgate.sources.poll_request import KINDS

    versions, report = poll.versions, poll.report
    results = ("new", "nothing_new", "cursor_expired", *KINDS)
    yield counters(
        "ws_poll_requests",
        "Polls that have ended, by how: new, nothing_new, or why there was no good answer.",
        "result",
        {result: report.results[result] for result in results},
    )
    yield counters(
        "ws_poll_items",
        "Items in answers: taken, or dropped as repeated, as old, or without what they need.",
        "outcome",
        {
            "taken": versions.taken,
            "repeated": versions.repeated,
            "old": versions.old,
            "refused": report.refused.total(),
        },
    )
    yield gauge(
        "ws_poll_answer_age_seconds",
        "Since the last good answer; -1 before the first.",
        poll.answer_age_s,
    )
    yield counter(
        "ws_poll_cursor_resets",
        "Times the backend had forgotten the cursor, and clients were told of a gap.",
        report.resets,
    )
    yield gauge("ws_poll_ids_current", "Items whose newest version is remembered.", len(versions))
    yield counter(
        "ws_poll_ids_forgotten",
        "Items whose version was forgotten, the longest unseen first, to make room.",
        versions.forgotten,
    )


def publishing_metrics(publishing: Publishing | None) -> Iterator[Metric]:
    """Nothing if nobody may."""
    if publishing is None:
        return
    yield counters(
        "ws_publish_requests",
        "Requests to publish, by the status that they were answered with.",
        "status",
        {str(status): publishing.answers[status] for status in Publishing.STATUSES},
    )
    yield counters(
        "ws_publish_publications",
        "Publications in requests that were right: published, or failed, which is not for sure.",
        "outcome",
        {"published": publishing.published, "failed": publishing.failed},
    )
    publisher = publishing.publisher
    yield gauge(
        "ws_publish_nats_connected",
        "1 while there is a NATS server to publish to; 0 also where there is to be none.",
        publisher is not None and publisher.connected,
    )
    yield counter(
        "ws_publish_nats_errors",
        "Failed attempts to connect, connections lost, and objections of the server.",
        publisher.errors if publisher is not None else 0,
    )
