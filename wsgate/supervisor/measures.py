"""What the supervisor itself has to tell in metrics: its workers, and the tickets it holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import Metric

from wsgate.auth.tickets import Tickets
from wsgate.metrics.families import Named, counter, gauge
from wsgate.supervisor.fleet import Fleet

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
