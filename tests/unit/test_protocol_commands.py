"""The commands of wsgate.v1: what is taken, what is refused, and that nothing else can happen."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsgate import protocol
from wsgate.protocol import (
    Auth,
    ErrorCode,
    Pause,
    Ping,
    Place,
    ProtocolError,
    Resume,
    Subscribe,
    Unsubscribe,
    decode,
)

fuzz = settings(deadline=None, max_examples=300)


def command(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def refused(message: bytes) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        decode(message)
    return caught.value


def test_subscribe() -> None:
    message = command(
        type="subscribe",
        channels=["global.trending", "token.*.update"],
        max_rate=2,
        recover={"global.trending": {"epoch": "e1", "seq": 41}},
        id="first",
    )
    assert decode(message) == Subscribe(
        channels=("global.trending", "token.*.update"),
        max_rate=2.0,
        recover={"global.trending": Place("e1", 41)},
        id="first",
    )


def test_a_subscribe_needs_nothing_but_channels() -> None:
    assert decode(b'{"type":"subscribe","channels":[]}') == Subscribe(())


def test_repeated_channels_collapse_in_order() -> None:
    message = command(type="subscribe", channels=["b", "a", "b", "no good", "c", "a", "no good"])
    assert decode(message) == Subscribe(("b", "a", "no good", "c"))
    message = command(type="unsubscribe", channels=["b", "a", "b"])
    assert decode(message) == Unsubscribe(("b", "a"))


def test_a_bad_name_is_not_an_error_of_the_command() -> None:
    decoded = decode(command(type="subscribe", channels=["", "good", "a..b"]))
    assert decoded == Subscribe(("", "good", "a..b"))


def test_unsubscribe_takes_any_string() -> None:
    decoded = decode(command(type="unsubscribe", channels=["a", "", "é"], id=5))
    assert decoded == Unsubscribe(("a", "", "é"), 5)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("ping", Ping), ("pause", Pause), ("resume", Resume)],
)
def test_commands_without_fields(kind: str, expected: type) -> None:
    assert type(decode(command(type=kind))) is expected
    assert decode(command(type=kind, id=7)).id == 7


def test_auth_keeps_its_token_out_of_its_repr() -> None:
    decoded = decode(command(type="auth", token="ey.secret", id=1))
    assert decoded == Auth("ey.secret", 1)
    assert "secret" not in repr(decoded)


def test_unknown_keys_are_ignored_and_null_is_absent() -> None:
    message = command(
        type="subscribe", channels=["a"], id=None, max_rate=None, recover=None, later=[1]
    )
    assert decode(message) == Subscribe(("a",))


@pytest.mark.parametrize("rate", [0.01, 0.5, 1, 1000, 1000.0])
def test_max_rate_within_bounds(rate: float) -> None:
    decoded = decode(command(type="subscribe", channels=["a"], max_rate=rate))
    assert isinstance(decoded, Subscribe)
    assert decoded.max_rate == rate
    assert type(decoded.max_rate) is float


@pytest.mark.parametrize("rate", [0, -1, 0.0099, 1000.1, 10**30, True, "2", [2], {}])
def test_max_rate_out_of_bounds(rate: object) -> None:
    error = refused(command(type="subscribe", channels=["a"], max_rate=rate, id="r"))
    assert (error.code, error.reply_to) == (ErrorCode.BAD_COMMAND, "r")
    assert "max_rate" in error.message


@pytest.mark.parametrize(
    "reply_to", ["", "x", "x" * 64, "é" * 32, 0, -1, 2**53 - 1, -(2**53) + 1, '"\\\n']
)
def test_id_is_echoed_by_command_and_error(reply_to: str | int) -> None:
    assert decode(command(type="ping", id=reply_to)).id == reply_to
    error = refused(command(type="nothing", id=reply_to))
    assert error.reply_to == reply_to
    assert json.loads(protocol.encode_error(error))["id"] == reply_to
    assert json.loads(protocol.encode_pong(reply_to))["id"] == reply_to


@pytest.mark.parametrize(
    "reply_to", ["x" * 65, "é" * 33, 2**53, -(2**53), 10**30, 1.0, True, False, [], {}, ["x"]]
)
def test_an_id_that_cannot_be_echoed(reply_to: object) -> None:
    error = refused(command(type="ping", id=reply_to))
    assert (error.code, error.reply_to) == (ErrorCode.BAD_COMMAND, None)
    assert error.message.startswith("id ")


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b" ",
        b"{",
        b"ping",
        b'{"type":"ping"}x',
        b"{'type':'ping'}",
        b'{"type":"ping",}',
        b'{"type":NaN}',
        b"\xff",
        b'{"type":"\xc3"}',
        b'"\\ud800"',
        b"\xef\xbb\xbf{}",
        b"\x00",
        b"[" * 5000,
        b"[" * 5000 + b"]" * 5000,
    ],
)
def test_bad_json(message: bytes) -> None:
    error = refused(message)
    assert (error.code, error.reply_to) == (ErrorCode.BAD_JSON, None)


@pytest.mark.parametrize(
    "message",
    [
        b"[]",
        b"null",
        b"1",
        b'"ping"',
        b'[{"type":"ping"}]',
        b"{}",
        b'{"type":null}',
        b'{"type":1}',
        b'{"type":["ping"]}',
        b'{"type":{}}',
        b'{"type":"auth"}',
        b'{"type":"auth","token":1}',
        b'{"type":"subscribe","channels":["a"],"recover":[]}',
    ],
)
def test_bad_command(message: bytes) -> None:
    assert refused(message).code is ErrorCode.BAD_COMMAND


@pytest.mark.parametrize("kind", ["subscribe", "unsubscribe"])
@pytest.mark.parametrize(
    "channels",
    [None, "a", {"a": 1}, 1, [1], ["a", None], ["a", ["b"]], ["a", {}], ["x"] * 1001],
)
def test_channels_that_are_not_an_array_of_strings(kind: str, channels: object) -> None:
    error = refused(command(type=kind, channels=channels, id=3))
    assert (error.code, error.reply_to) == (ErrorCode.BAD_COMMAND, 3)
    assert "channels" in error.message


def test_as_many_channels_as_a_command_may_name() -> None:
    channels = [f"c{n}" for n in range(1000)]
    assert decode(command(type="subscribe", channels=channels)) == Subscribe(tuple(channels))


@pytest.mark.parametrize("kind", ["", "Subscribe", "PING", "subscribed", "publish", "ping\0"])
def test_unknown_command(kind: str) -> None:
    error = refused(command(type=kind, id=0))
    assert (error.code, error.reply_to) == (ErrorCode.UNKNOWN_COMMAND, 0)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=80),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)
TYPES = st.sampled_from(["subscribe", "unsubscribe", "ping", "auth", "pause", "resume", "other"])
COMMANDS = st.fixed_dictionaries(
    {"type": TYPES | JSON},
    optional={
        "channels": JSON | st.lists(st.text(alphabet="ab.*> ", max_size=9) | JSON, max_size=5),
        "max_rate": JSON | st.floats(-1, 2000),
        "recover": JSON,
        "token": JSON,
        "id": JSON,
    },
)


def check_answer(message: bytes) -> None:
    """Whatever came in: a well-formed command, or an error that can be sent."""
    try:
        decoded = decode(message)
    except ProtocolError as error:
        reply = json.loads(protocol.encode_error(error))
        assert reply["type"] == "error"
        assert reply["code"] == error.code
        return
    if isinstance(decoded, Subscribe):
        assert len(set(decoded.channels)) == len(decoded.channels)
        assert decoded.max_rate is None or 0.01 <= decoded.max_rate <= 1000
    assert decoded.id is None or type(decoded.id) in (int, str)


@fuzz
@given(st.binary(max_size=200))
def test_fuzz_bytes(message: bytes) -> None:
    check_answer(message)


@fuzz
@given(JSON | COMMANDS)
def test_fuzz_json(value: object) -> None:
    check_answer(json.dumps(value).encode())


@fuzz
@given(COMMANDS, st.data())
def test_fuzz_broken_commands(fields: dict[str, object], data: st.DataObject) -> None:
    message = bytearray(json.dumps(fields, ensure_ascii=False).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    check_answer(bytes(message))
