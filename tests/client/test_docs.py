"""docs/client.md lists what there is."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from wsgate.client import Client, Timing, Why, errors
from wsgate.client.credentials import RENEW_BEFORE_S, RENEW_PART
from wsgate.client.handover import HELD_MAX
from wsgate.client.ledger import CHANNELS_MAX
from wsgate.client.link import COMMANDS_BURST, COMMANDS_PER_S
from wsgate.client.mailbox import EVENTS_MAX, STATES_MAX
from wsgate.client.retry import BASE_S, CAP_S

PAGE = (Path(__file__).parents[2] / "docs" / "client.md").read_text()


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_arguments_and_methods() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", section("Client"), re.MULTILINE)
    parameters = [name for name in inspect.signature(Client).parameters if name != "url"]
    assert listed[: len(parameters)] == parameters
    public = {name for name in vars(Client) if not name.startswith("_")}
    named = set(re.findall(r"`(?:await )?(\w+)", section("Client")))
    assert public <= named


def test_kinds_of_gaps() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", section("Gaps"), re.MULTILINE)
    assert listed[1:] == [why.value for why in Why]


def test_errors() -> None:
    drawn = PAGE.partition("ClientError\n")[2].partition("```")[0]
    documented = (errors.__doc__ or "").partition("ClientError\n")[2]
    assert [line.strip() for line in drawn.splitlines()] == [
        line.strip() for line in documented.strip().splitlines()
    ]


def test_numbers() -> None:
    bounds = section("Bounds")
    for number in (EVENTS_MAX, f"{STATES_MAX:,}", f"{CHANNELS_MAX:,}", f"{HELD_MAX:,}"):
        assert str(number) in bounds
    assert f"{COMMANDS_BURST} at once, then {COMMANDS_PER_S:g} a second" in bounds
    ends = section("When the connection ends")
    assert f"min({CAP_S:g} s, {BASE_S:g} s * 2^n)" in ends
    timing = Timing()
    for seconds in (timing.settled_s, timing.silence_s, timing.patience_s):
        assert f"{seconds:g} s" in ends
    assert (RENEW_BEFORE_S, RENEW_PART) == (60.0, 0.2), "a minute; less for less than five"
