"""What a connection may do, and when it has done too much."""

from __future__ import annotations

import json
import sys

import pytest

from wsgate.auth.identity import Identity
from wsgate.auth.permissions import EVERYTHING, Permissions
from wsgate.protocol import (
    CONNECTION_SUBSCRIPTIONS_MAX,
    Auth,
    CloseCode,
    ErrorCode,
    Ping,
    ProtocolError,
    Subscribe,
    Unsubscribe,
)
from wsgate.rules import DEFAULT_RULES
from wsgate.session import Session
from wsgate.subscribing import admit

PING = b'{"type":"ping"}'


def refused(session: Session, message: bytes) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        session.handle(message)
    return caught.value


def subscribe(**fields: object) -> bytes:
    return json.dumps({"type": "subscribe", "channels": ["global.trending"]} | fields).encode()


def test_commands_that_can_be_executed() -> None:
    session = Session()
    assert session.handle(PING) == Ping()
    assert session.handle(subscribe(id=1)) == Subscribe(("global.trending",), id=1)
    assert session.handle(b'{"type":"unsubscribe","channels":["a"]}') == Unsubscribe(("a",))


def test_what_came_while_something_is_waited_for_is_handed_over_once() -> None:
    session = Session()
    session.begin_waiting()
    for message in (PING, b"{"):
        session.wait(message)
    assert session.stop_waiting() == [PING, b"{"]
    assert session.waiting is None and session.stop_waiting() == []


def test_without_authentication_nobody_is_asked_for_a_token() -> None:
    error = refused(Session(), b'{"type":"auth","token":"t","id":4}')
    assert (error.code, error.reply_to, error.close) == (ErrorCode.NOT_SUPPORTED, 4, None)
    assert error.message == "this gateway asks nobody for a token (WS_AUTH=none)"


@pytest.mark.parametrize("message", [subscribe(id=1), b'{"type":"unsubscribe","channels":[]}'])
def test_auth_comes_first(message: bytes) -> None:
    session = Session(authenticated=True)
    assert refused(session, message).code is ErrorCode.AUTH_REQUIRED
    assert session.handle(PING) == Ping()
    assert session.handle(b'{"type":"auth","token":"t"}') == Auth("t")
    session.identity = Identity("user-1", None, EVERYTHING)
    assert not isinstance(session.handle(message), Auth)


def test_recovering_nothing_is_an_ordinary_subscribe() -> None:
    assert isinstance(Session().handle(subscribe(recover={})), Subscribe)


MALFORMED = [b"{", b"[]", b'{"type":"dance"}', subscribe(channels=1)]


@pytest.mark.parametrize("message", MALFORMED)
def test_the_sixteenth_bad_command_in_a_row_closes(message: bytes) -> None:
    session = Session()
    for _ in range(15):
        assert refused(session, message).close is None
    assert refused(session, message).close is CloseCode.TOO_MANY_BAD_COMMANDS


def test_different_bad_commands_count_together() -> None:
    session = Session()
    closes = [refused(session, message).close for message in MALFORMED * 4]
    assert closes == [None] * 15 + [CloseCode.TOO_MANY_BAD_COMMANDS]


@pytest.mark.parametrize("good", [PING, b'{"type":"pause"}', subscribe(channels=["no good"])])
def test_a_well_formed_command_forgives(good: bytes) -> None:
    session = Session()
    for message in ([b"{"] * 15 + [good]) * 3:
        try:
            session.handle(message)
        except ProtocolError as error:
            assert error.close is None


def test_a_session_is_small() -> None:
    session = Session()
    assert not hasattr(session, "__dict__")
    assert sys.getsizeof(session) <= 64


# ----------------------------------------------------------------------------------- admission


def admitted(
    channels: list[str],
    held: set[str] | None = None,
    limit: int = 1000,
    known: dict[str, int] | None = None,
    permissions: Permissions = EVERYTHING,
) -> tuple[dict[str, int | None], dict[str, ErrorCode]]:
    held = held or set()
    known = known or {}
    room = limit - len(held)
    accepted, errors, left = admit(
        channels, DEFAULT_RULES, known.get, room, held.__contains__, permissions
    )
    assert left == room - sum(name not in held for name in accepted)
    return accepted, errors


def test_channels_and_permitted_patterns_are_admitted_in_order() -> None:
    channels = ["token.b.update", "global.>", "global.*", "token.*.comment", "token.a.update"]
    accepted, errors = admitted(channels)
    assert list(accepted) == channels
    assert not errors


def test_each_channel_comes_with_the_first_rule_that_matches_it() -> None:
    channels = ["global.trending", "global.new", "token.*.comment", "token.a.update"]
    accepted, _ = admitted(channels)
    assert list(accepted.values()) == [2, 3, None, 0]


def test_a_channel_in_use_keeps_its_rule() -> None:
    assert admitted(["global.new"], known={"global.new": 7}) == ({"global.new": 7}, {})


def test_each_refused_channel_has_its_error() -> None:
    accepted, errors = admitted(["other", "token.>", " ", "global.new", ">", "a..b"])
    assert accepted == {"global.new": 3}
    assert errors == {
        "other": ErrorCode.UNKNOWN_CHANNEL,
        "token.>": ErrorCode.PATTERN_NOT_ALLOWED,
        " ": ErrorCode.BAD_CHANNEL,
        ">": ErrorCode.PATTERN_NOT_ALLOWED,
        "a..b": ErrorCode.BAD_CHANNEL,
    }


def test_what_the_token_does_not_permit_takes_no_room() -> None:
    accepted, errors = admitted(
        ["global.new", "global.>", "global.trending", "token.a.update", "token.*.update", "other"],
        limit=2,
        known={"global.trending": 2},
        permissions=Permissions(["global.new", "token.*.update"]),
    )
    assert accepted == {"global.new": 3, "token.a.update": 0}
    assert errors == {
        "global.>": ErrorCode.NOT_PERMITTED,
        "global.trending": ErrorCode.NOT_PERMITTED,
        "token.*.update": ErrorCode.TOO_MANY_SUBSCRIPTIONS,
        "other": ErrorCode.TOO_MANY_SUBSCRIPTIONS,  # it is not looked at once there is no room
    }


def test_the_first_that_fit_are_admitted() -> None:
    held = {"global.a", "global.b"}
    assert admitted(["global.c", "global.d", "global.e"], held, limit=4) == (
        {"global.c": 3, "global.d": 3},
        {"global.e": ErrorCode.TOO_MANY_SUBSCRIPTIONS},
    )


def test_what_is_held_needs_no_room() -> None:
    held = {"global.a", "global.b"}
    assert admitted(["global.a", "global.c", "global.b"], held, limit=2) == (
        {"global.a": 3, "global.b": 3},
        {"global.c": ErrorCode.TOO_MANY_SUBSCRIPTIONS},
    )


def test_what_is_refused_takes_no_room() -> None:
    accepted, _ = admitted(["other", ">", " ", "global.a"], limit=1)
    assert list(accepted) == ["global.a"]


def test_the_default_limit() -> None:
    channels = [f"global.{n}" for n in range(1001)]
    accepted, errors = admitted(channels, limit=CONNECTION_SUBSCRIPTIONS_MAX)
    assert list(accepted) == channels[:1000]
    assert errors == {"global.1000": ErrorCode.TOO_MANY_SUBSCRIPTIONS}


def test_a_connection_past_a_lowered_limit_gets_nothing_new() -> None:
    held = {"global.a", "global.b", "global.c"}
    assert admitted(["global.d"], held, limit=2) == (
        {},
        {"global.d": ErrorCode.TOO_MANY_SUBSCRIPTIONS},
    )
