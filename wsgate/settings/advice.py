"""What is allowed, and may be a mistake all the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from wsgate.limits import DRAIN_LEAST_S
from wsgate.settings.model import Settings
from wsgate.settings.names import go_only_variables, unknown_variables
from wsgate.settings.provenance import Provenance


class Advice(NamedTuple):
    """An event to be logged, with its details."""

    event: str
    details: Mapping[str, object]

    def __str__(self) -> str:
        details = ", ".join(f"{name}: {value}" for name, value in self.details.items())
        return f"{self.event} ({details})"


def of_names(environment: Mapping[str, str]) -> Iterator[Advice]:
    """About variables that are no settings."""
    for variable, meant in unknown_variables(environment):
        hint = {"did_you_mean": meant} if meant else {}
        yield Advice("unknown setting ignored", {"setting": variable, **hint})
    idle = go_only_variables(environment)
    if idle:
        event = "settings of the gateway in Go that do nothing here: take them out"
        yield Advice(event, {"settings": ", ".join(idle)})


def of_values(settings: Settings, provenance: Provenance) -> Iterator[Advice]:
    """About settings that are right, each by itself."""
    if settings.ws_drain_timeout_s - settings.ws_drain_delay_s <= DRAIN_LEAST_S:
        event = "there is no time to tell clients when to come back: all are closed at once"
        raised = f"more than WS_DRAIN_DELAY_S and {DRAIN_LEAST_S:g} s"
        yield Advice(event, {"setting": "WS_DRAIN_TIMEOUT_S", "expected": raised})
    for subject in settings.subjects_without_rule():
        yield Advice("no rule in WS_RULES matches this subject", {"nats_subject": subject})
    for subject in settings.subjects_also_polled():
        event = "what NATS has of this subject may come from WS_POLL_URL as well, as another update"
        yield Advice(event, {"nats_subject": subject, "polled": settings.ws_poll_channel})
    # Who leaves the rules as they are does not mean all of them.
    if provenance.of("ws_rules") != "default":
        for subject in settings.rules_without_subject():
            event = "neither NATS_SUBJECTS nor WS_POLL_CHANNEL are for this rule"
            yield Advice(event, {"rule_subject": subject})
