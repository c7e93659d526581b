"""docs/protocol.md says what the code does: its tables and examples are checked against it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from wsgate import protocol, waiting
from wsgate.auth.identity import KeysUnavailable, Refusal, TokenExpired, TokenRefused
from wsgate.login import close_code
from wsgate.protocol import CloseCode, ErrorCode, ProtocolError
from wsgate.rules import DEFAULT_RULES, RULES_MAX
from wsgate.session import Session
from wsgate.subscribing import admit

DOCUMENT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
LATER = ("paused", "resumed")


def section(title: str) -> str:
    """What stands under a heading of any level, up to the next one."""
    found = re.search(rf"^#+ {re.escape(title)}$(.*?)(?=^#|\Z)", DOCUMENT, re.DOTALL | re.MULTILINE)
    assert found, f"no section {title!r}"
    return found[1]


def table(title: str) -> list[list[str]]:
    """The rows of the section's table, without its head."""
    rows = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def blocks(text: str) -> list[str]:
    """The lines of all code blocks."""
    return [
        line
        for block in re.findall(r"```\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
    ]


def test_errors() -> None:
    documented = [(code.strip("`"), message) for code, _, message, _ in table("Errors")]
    assert documented == [(code.value, code.message) for code in ErrorCode]


def test_close_codes() -> None:
    documented = [
        (code, reason.strip("`"), when, reconnect)
        for code, reason, when, reconnect in table("Close codes")
    ]
    assert documented == [
        (
            f"{code.value}",
            code.reason,
            code.when,
            "yes" if code.reconnect else "no",
        )
        for code in CloseCode
    ]


def test_the_ends_of_a_token_that_is_no_good() -> None:
    assert [int(code) for _, code in table("Authentication")] == [
        close_code(TokenExpired()),
        close_code(TokenRefused(Refusal.SIGNATURE)),
        close_code(TokenRefused(Refusal.REVOKED)),
        close_code(KeysUnavailable()),
    ]


def test_what_may_wait_for_keys() -> None:
    text = section("Authentication")
    assert f"Past {waiting.BYTES_MAX} bytes of them" in text
    assert f"together {waiting.ALL_BYTES_MAX // 2**20} MiB" in text


def test_limits() -> None:
    assert [float(limit) for _, limit, _ in table("Limits")] == [
        protocol.COMMAND_BYTES_MAX,
        protocol.COMMAND_CHANNELS_MAX,
        protocol.COMMAND_ID_BYTES_MAX,
        protocol.CHANNEL_BYTES_MAX,
        protocol.CHANNEL_TOKENS_MAX,
        protocol.MAX_RATE_MIN,
        protocol.MAX_RATE_MAX,
        protocol.CONNECTION_RATES_MAX,
        protocol.CONNECTION_SUBSCRIPTIONS_MAX,
        protocol.BAD_COMMANDS_IN_A_ROW_MAX,
        RULES_MAX,
    ]


def test_default_rules() -> None:
    assert table("Channels and patterns") == [
        [f"`{rule.subject}`", f"`{rule.type}`", rule.kind.value] for rule in DEFAULT_RULES
    ]


def encoded_again(line: str) -> bytes:
    """What the encoders make of the message in ``line``."""
    fields = json.loads(line)
    kind, reply_to = fields["type"], fields.get("id")
    if kind == "subscribed":
        errors = {
            name: ErrorCode[error["code"].upper()]
            for name, error in fields.get("errors", {}).items()
        }
        return protocol.encode_subscribed(fields["channels"], errors, reply_to)
    if kind == "unsubscribed":
        return protocol.encode_unsubscribed(fields["channels"], reply_to)
    if kind == "authorized":
        return protocol.encode_authorized(fields.get("expires"), reply_to)
    if kind == "pong":
        return protocol.encode_pong(reply_to)
    if kind == "error":
        error = ProtocolError(ErrorCode[fields["code"].upper()], fields["message"], reply_to)
        return protocol.encode_error(error)
    if kind == "gap":
        return protocol.encode_gap(fields["channels"])
    if kind == "feed":
        return protocol.encode_feed(fields["state"])
    if kind == "reconnect":
        return protocol.encode_reconnect(fields["after_ms"])
    rule = DEFAULT_RULES.match(fields["channel"])
    assert rule is not None
    assert list(fields) == ["type", "channel", "seq", "prev", "data"]
    assert kind == rule.type
    return json.dumps(fields, separators=(",", ":")).encode()


COMMANDS = re.compile(r'\{"type":"(subscribe|unsubscribe|ping|auth|pause|resume)"')
EXAMPLES = [line.removeprefix("C ").removeprefix("S ") for line in blocks(DOCUMENT)]
REPLIES = [line for line in EXAMPLES if not COMMANDS.match(line)]


@pytest.mark.parametrize("line", [line for line in EXAMPLES if COMMANDS.match(line)])
def test_every_command_in_the_document_is_well_formed(line: str) -> None:
    assert protocol.decode(line.encode()).id == json.loads(line).get("id")


@pytest.mark.parametrize(
    "line", [line for line in REPLIES if json.loads(line)["type"] not in LATER]
)
def test_every_message_in_the_document_is_what_the_encoders_make(line: str) -> None:
    assert encoded_again(line) == line.encode()


def test_every_message_there_is_has_an_example() -> None:
    shown = {json.loads(line)["type"] for line in REPLIES}
    assert shown >= protocol.RESERVED_TYPES


def test_the_example_session_is_what_the_gateway_would_say() -> None:
    session = Session()
    subscribed: set[str] = set()
    lines = blocks(section("An example session"))
    for number, line in enumerate(lines):
        if not line.startswith("C "):
            continue
        # In the example nothing else comes between a command and its reply.
        reply = json.loads(lines[number + 1].removeprefix("S "))
        try:
            command = session.handle(line.removeprefix("C ").encode())
        except ProtocolError as error:
            assert protocol.encode_error(error) == lines[number + 1].removeprefix("S ").encode()
            continue
        assert reply.get("id") == command.id
        if isinstance(command, protocol.Subscribe):
            admitted, errors, _ = admit(
                command.channels, DEFAULT_RULES, lambda name: None, 1000, subscribed.__contains__
            )
            assert list(reply["channels"]) == list(admitted)
            assert list(reply.get("errors", {})) == list(errors)
            subscribed.update(admitted)
        elif isinstance(command, protocol.Unsubscribe):
            assert reply["channels"] == list(command.channels)
            subscribed.difference_update(command.channels)
        else:
            said = {protocol.Ping: "pong", protocol.Pause: "paused", protocol.Resume: "resumed"}
            assert reply["type"] == said[type(command)]
    assert subscribed == {"global.trending", "token.*.comment"}
