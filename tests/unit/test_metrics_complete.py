"""Everything that is counted is a metric, and every metric is explained."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.core import Metric

from tests.support.metered import Gateway, Socket, with_gateway
from wsgate.aggregate import aggregator
from wsgate.aggregate.aggregator import Aggregator
from wsgate.aggregate.measures import aggregate_metrics
from wsgate.auth import authenticator as auth
from wsgate.auth.keys import KeySource
from wsgate.auth.keyset import from_secret
from wsgate.auth.options import TokenOptions
from wsgate.auth.origins import Given
from wsgate.auth.permissions import NOTHING
from wsgate.auth.tickets import Tickets
from wsgate.metrics import auth as auth_metrics
from wsgate.metrics import connections, publications
from wsgate.metrics.collector import GatewayCollector
from wsgate.protocol import CloseCode
from wsgate.rules import DEFAULT_RULES
from wsgate.settings import Settings
from wsgate.sources.poll import PollSource
from wsgate.sources.poll_answer import Shape
from wsgate.supervisor.fleet import Fleet
from wsgate.supervisor.load import NO_LIMITS
from wsgate.supervisor.measures import (
    fleet_metrics,
    poll_metrics,
    publishing_metrics,
    relay_metrics,
)
from wsgate.supervisor.publishing import Publishing
from wsgate.supervisor.relay import Relay

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "operations.md"


async def nobody(ticket: str) -> None:
    return None


def test_everything_that_authentication_counts_is_a_metric() -> None:
    async def test(gateway: Gateway, sink: Socket) -> None:
        real = auth.Authenticator(
            KeySource(Given(from_secret("x" * 32))),
            TokenOptions(permissions_default=NOTHING),
            redeem=nobody,
        )
        assert set(real.snapshot()) == {
            *auth_metrics.REFUSALS,
            *auth_metrics.TOTALS,
            *auth_metrics.LEVELS,
        }

    with_gateway(test)


def test_every_total_of_the_core_is_a_metric() -> None:
    async def test(gateway: Gateway, sink: Socket) -> None:
        core = gateway.hub.core
        told = {*publications.TOTALS, *publications.CONFLATED.values()}
        told |= {*publications.DROPPED.values(), *publications.BY_RULE}
        for key in publications.FORMATS.values():
            told |= {key, f"{key}_bytes"}
        assert set(core.counters.snapshot()) == told | {"conflated", "dropped"}  # their sums
        assert set(core.counters.of_rule(0)) == set(publications.BY_RULE)
        assert set(core.delivery.backlog()) == set(publications.BACKLOG)

    with_gateway(test)


def documented(heading: str = "| metric | what it is |") -> Iterator[tuple[str, str]]:
    lines = PAGE.read_text().splitlines()
    for line in lines[lines.index(heading) + 2 :]:
        if not line.startswith("|"):
            return
        name, text = line.strip("| ").split(" | ", 1)
        yield name.strip("`"), text


def rows(families: Iterable[Metric]) -> list[tuple[str, str]]:
    """Each metric as the page has it: the name with its labels, and the help."""
    found = []
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(label for label in family.samples[0].labels if label != "le")
        found.append((f"{name}{{{labels}}}" if labels else name, family.documentation))
    return found


def of_supervisor() -> list[tuple[str, str]]:
    relay = Relay(lambda: DEFAULT_RULES)
    # Without slots it needs neither blueprint nor answers.
    fleet = Fleet(None, (), NO_LIMITS, None, relay)  # type: ignore[arg-type]
    publishing = Publishing("token", relay, lambda: None)  # type: ignore[arg-type, return-value]
    return rows(
        [
            *fleet_metrics(fleet, Tickets()),
            *relay_metrics(relay),
            *poll_metrics(PollSource(relay, "http://x", Shape())),
            *publishing_metrics(publishing),
        ]
    )


def collected(gateway: Gateway) -> list[tuple[str, str]]:
    return [*of_supervisor(), *rows(GatewayCollector(gateway).collect())]


def of_aggregator() -> list[tuple[str, str]]:
    blueprint = Settings(ws_aggregate_from="raw").aggregation()
    assert blueprint is not None
    outlet: Any = None
    return rows(aggregate_metrics(Aggregator(blueprint, outlet, lambda _: outlet)))


def test_the_page_explains_every_metric_of_the_aggregator() -> None:
    assert list(documented("| metric of `wsgate aggregate` | what it is |")) == of_aggregator()


def test_the_page_explains_every_metric() -> None:
    async def test(gateway: Gateway, sink: Socket) -> None:
        assert list(documented()) == collected(gateway)

    with_gateway(test)


def test_the_page_says_which_metrics_are_no_worker_s() -> None:
    text = PAGE.read_text().partition("only what the supervisor counts itself, ")[2]
    listed = re.findall(r"`(ws_\w+)(\.\.\.)?`", text.partition(", has none.")[0])

    def is_listed(name: str) -> bool:
        return any(name.startswith(one) if more else name == one for one, more in listed)

    async def test(gateway: Gateway, sink: Socket) -> None:
        own = {re.sub(r"\{.*", "", name) for name, _ in of_supervisor()}
        workers = {family.name for family in GatewayCollector(gateway).collect()}
        assert {name for name in own if not is_listed(name)} == set()
        assert {name for name in workers if is_listed(name)} == set()
        for one, _ in listed:
            assert any(name.startswith(one) for name in own), f"{one} is listed in vain"

    with_gateway(test)


def test_names_and_texts_follow_the_conventions() -> None:
    async def test(gateway: Gateway, sink: Socket) -> None:
        found = [*collected(gateway), *of_aggregator()]
        assert len({name for name, _ in found}) == len(found)
        for name, text in found:
            assert re.match(r"ws_[a-z_]+", name)
            assert text.endswith(".")

    with_gateway(test)


@pytest.mark.parametrize(
    ("module", "call", "known"),
    [
        ("aggregate/aggregator.py", r"self\._refuse\(\s*\"(\w+)\"", aggregator.REFUSALS),
        ("intake.py", r"self\._refuse\(\s*\"(\w+)\"", publications.PUBLICATION_REFUSALS),
        ("hub.py", r"self\._note_end\(\s*\w+,\s*\"(\w+)\"", connections.CLOSE_REASONS),
        ("hub.py", r"self\._end\(\s*\w+,\s*CloseCode\.(\w+)", connections.CLOSE_REASONS),
        ("login.py", r"lock_out\(\s*\w+,\s*CloseCode\.(\w+)", connections.CLOSE_REASONS),
        ("login.py", r"return CloseCode\.(\w+)", connections.CLOSE_REASONS),
        ("upgrade.py", r"self\._refuse\(\s*[\w.]+,\s*\"(\w+)\"", connections.HANDSHAKE_REFUSALS),
    ],
)
def test_reasons_in_the_code_are_known_from_the_start(
    module: str, call: str, known: tuple[str, ...]
) -> None:
    reasons = re.findall(call, (ROOT / "wsgate" / module).read_text())
    assert reasons
    for reason in reasons:
        assert (CloseCode[reason].reason if reason.isupper() else reason) in known
