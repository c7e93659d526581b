"""Metrics of who is let in: tokens, revocations, keys. Tickets are the supervisor's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import Metric

from wsgate.auth.identity import Refusal
from wsgate.hub import Hub
from wsgate.metrics.families import Named, by_reason, counter, gauge
from wsgate.metrics.observed import Authenticates

TOTALS: Final = {
    "accepted": Named("ws_auth_accepted", "Tokens and tickets accepted, renewals included."),
    "revocations": Named("ws_auth_revocations", "Subjects that were cut off."),
    "revocations_pushed_out": Named(
        "ws_auth_revocations_pushed_out",
        "Revocations forgotten before their time, to make room for newer ones.",
    ),
    "keys_loads": Named("ws_auth_keys_loads", "Times the keys were looked up without a failure."),
    "keys_failures": Named(
        "ws_auth_keys_failures", "Times the keys could not be had; those in use stay in use."
    ),
    "keys_turned_away": Named(
        "ws_auth_keys_turned_away",
        "Tokens refused unchecked since too many waited for keys already.",
    ),
}
LEVELS: Final = {
    "revocations_held": Named("ws_auth_revocations_current", "Subjects remembered as cut off."),
    "keys_keys": Named("ws_auth_keys_current", "Keys that tokens are checked with."),
    "keys_skipped": Named(
        "ws_auth_keys_skipped", "Keys in the document in use that are of no use here."
    ),
    "keys_age_s": Named(
        "ws_auth_keys_age_seconds", "Since the keys were last looked up; -1 before the first time."
    ),
    "keys_failures_in_a_row": Named(
        "ws_auth_keys_failures_in_a_row", "Failures since the keys were last had."
    ),
    "keys_waiting": Named("ws_auth_keys_waiting", "Tokens that wait for newer keys."),
}
REFUSALS: Final = {
    "expired": "expired",
    "unavailable": "unavailable",
    **{f"refused_{reason}": str(reason) for reason in Refusal},
}


def auth_metrics(authenticator: Authenticates, hub: Hub) -> Iterator[Metric]:
    found = authenticator.snapshot()
    yield by_reason(
        "ws_auth_refused",
        "Tokens and tickets refused; unavailable: without the keys, nobody can tell.",
        {reason: int(found[key]) for key, reason in REFUSALS.items()},
    )
    for key, named in TOTALS.items():
        yield counter(named.name, named.help, found[key])
    yield counter(
        "ws_auth_revocations_refused",
        "Messages that should have cut somebody off, and could not be understood.",
        hub.controls_refused,
    )
    for key, named in LEVELS.items():
        yield gauge(named.name, named.help, found[key])
