"""The replies of wsgate.v1, byte for byte, its codes and its subprotocol."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsgate import protocol
from wsgate.protocol import CloseCode, ErrorCode, ProtocolError

fuzz = settings(deadline=None, max_examples=300)


# ------------------------------------------------------------------------------------- replies


def test_subscribed() -> None:
    assert protocol.encode_subscribed(
        {"token.abc.update": {"epoch": "e1", "seq": 41}, "token.*.comment": {}},
        {"no such": ErrorCode.BAD_CHANNEL},
        "first",
    ) == (
        b'{"type":"subscribed","id":"first","channels":{"token.abc.update":{"epoch":"e1","seq":41},'
        b'"token.*.comment":{}},"errors":{"no such":{"code":"bad_channel",'
        b'"message":"not a channel name or pattern"}}}'
    )


def test_subscribed_without_id_and_errors() -> None:
    reply = protocol.encode_subscribed({"global.trending": {"epoch": "e1", "seq": 0}}, {})
    assert reply == (b'{"type":"subscribed","channels":{"global.trending":{"epoch":"e1","seq":0}}}')


def test_unsubscribed() -> None:
    assert protocol.encode_unsubscribed(["a", 'é"'], 5) == (
        '{"type":"unsubscribed","id":5,"channels":["a","é\\""]}'.encode()
    )
    assert protocol.encode_unsubscribed(()) == b'{"type":"unsubscribed","channels":[]}'


def test_pong() -> None:
    assert protocol.encode_pong() == b'{"type":"pong"}'
    assert protocol.encode_pong("") == b'{"type":"pong","id":""}'
    assert protocol.encode_pong(0) == b'{"type":"pong","id":0}'


def test_error() -> None:
    assert protocol.encode_error(ProtocolError(ErrorCode.BAD_JSON)) == (
        b'{"type":"error","code":"bad_json","message":"the message is not JSON"}'
    )
    assert protocol.encode_error(ProtocolError(ErrorCode.NOT_SUPPORTED, "not yet", 9)) == (
        b'{"type":"error","id":9,"code":"not_supported","message":"not yet"}'
    )


def test_messages_without_a_command() -> None:
    assert protocol.encode_gap(["token.*.comment", "global.>"]) == (
        b'{"type":"gap","channels":["token.*.comment","global.>"]}'
    )
    assert protocol.encode_feed("stale") == b'{"type":"feed","state":"stale"}'
    assert protocol.encode_feed("live") == b'{"type":"feed","state":"live"}'
    assert protocol.encode_reconnect(4200) == b'{"type":"reconnect","after_ms":4200}'


def test_the_largest_reply_is_bounded() -> None:
    """A command of the most channels and bytes is answered with a small multiple of its size."""
    name_bytes = protocol.COMMAND_BYTES_MAX // protocol.COMMAND_CHANNELS_MAX - 3
    names = [f"{n}:".ljust(name_bytes, "x") for n in range(protocol.COMMAND_CHANNELS_MAX)]
    positions = {name: protocol.Position(epoch="e" * 20, seq=2**53) for name in names}
    for code in ErrorCode:
        reply = protocol.encode_subscribed({}, dict.fromkeys(names, code))
        assert len(reply) <= protocol.REPLY_BYTES_MAX
    assert len(protocol.encode_subscribed(positions)) <= protocol.REPLY_BYTES_MAX


@fuzz
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_an_echoed_name_is_no_longer_than_it_came(name: str) -> None:
    came = orjson.dumps(name)
    reply = protocol.encode_subscribed({}, {name: ErrorCode.BAD_CHANNEL})
    assert came in reply
    assert list(json.loads(reply)["errors"]) == [name]


# --------------------------------------------------------------------------------------- codes


def test_error_codes_are_words() -> None:
    for code in ErrorCode:
        assert code.value == code.name.lower()
        assert code.message


def test_close_codes_can_be_sent() -> None:
    for code in CloseCode:
        assert 1000 <= code < 5000
        assert code not in (1004, 1005, 1006, 1015)
        assert 0 < len(code.reason.encode()) <= 123
        assert code.when


def test_the_range_of_a_close_code_says_whether_to_reconnect() -> None:
    for code in CloseCode:
        if code >= 4000:
            assert code.reconnect == (4000 <= code <= 4499)
    assert {code for code in CloseCode if code < 4000 and code.reconnect} == {
        *(1001, 1011, 1012, 1013),
    }


# --------------------------------------------------------------------------------- subprotocol


@pytest.mark.parametrize(
    ("offer", "selected"),
    [
        ("wsgate.v1", "wsgate.v1"),
        ("other, wsgate.v1", "wsgate.v1"),
        ("wsgate.v1,other", "wsgate.v1"),
        (" wsgate.v2 ,\twsgate.v1 ", "wsgate.v1"),
        ("wsgate.v2", None),
        ("wsgate.v11", None),
        ("WSGATE.V1", None),
        ("", None),
    ],
)
def test_subprotocol(offer: str, selected: str | None) -> None:
    assert protocol.select_subprotocol(offer) == selected
