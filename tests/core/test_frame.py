"""Frames: RFC 6455 and docs/protocol.md, to the byte."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core import rfc6455
from tests.core.rfc6455 import CLOSE, PING, PONG, TEXT
from tests.core.rig import Rig
from wsgate.core.frame import Frame, publication_head

SIZES = [0, 1, 2, 124, 125, 126, 127, 128, 65534, 65535, 65536, 65537, 200_000]


@pytest.mark.parametrize("size", SIZES)
def test_a_text_frame_is_what_the_rfc_says(size: int) -> None:
    payload = bytes(97 + at % 26 for at in range(size))
    frame = Frame.text(payload)
    assert bytes(frame) == rfc6455.encode(TEXT, payload)
    assert rfc6455.parse(bytes(frame)) == [(TEXT, payload)]
    assert len(frame) == len(bytes(frame))
    assert frame.channel == ""


@pytest.mark.parametrize("size", SIZES)
def test_a_publication_of_any_size_is_one_whole_frame(size: int) -> None:
    """Its length crosses each of the header's forms somewhere around these sizes."""
    for near in range(max(0, size - 100), size + 1, 20 if size > 200 else 1):
        payload = b"1" * near
        frame = Frame.publication("t", "c", 1, 0, payload)
        ((opcode, message),) = rfc6455.parse(bytes(frame))
        assert opcode == TEXT
        assert message == b'{"type":"t","channel":"c","seq":1,"prev":0,"data":%s}' % payload
        assert frame.channel == "c"


numbers = st.one_of(
    st.integers(0, 2**64 - 1), st.integers(0, 20).map(lambda digits: min(10**digits, 2**64 - 1))
)
tokens = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"\\'))


@given(st.text(max_size=20), tokens.filter(bool), numbers, numbers, st.binary(max_size=300))
def test_an_envelope_holds_what_was_published(
    kind: str, channel: str, seq: int, prev: int, payload: bytes
) -> None:
    frame = Frame.publication(kind, channel, seq, prev, payload)
    ((_, message),) = rfc6455.parse(bytes(frame))
    head = f'{{"type":{json.dumps(kind)},"channel":"{channel}","seq":{seq},"prev":{prev},"data":'
    assert message == head.encode() + payload + b"}"
    assert frame.channel == channel


def test_the_payload_is_not_rebuilt() -> None:
    odd = b'{ "b":1e2,\t"a":[ ] ,"b":0.10}\n'
    frame = Frame.publication("t", "c", 1, 0, odd)
    assert odd in bytes(frame)


def test_the_head_is_the_part_that_a_channel_never_changes() -> None:
    head = publication_head("token_update", "token.abc.update")
    assert head == b'{"type":"token_update","channel":"token.abc.update","seq":'


def test_a_message_may_be_binary_or_compressed_already() -> None:
    assert bytes(Frame.text(b"\x00\xff")) == b"\x81\x02\x00\xff"
    assert bytes(Frame.binary(b"\x00\xff")) == b"\x82\x02\x00\xff"
    assert bytes(Frame.text(b"\x00", deflated=True)) == b"\xc1\x01\x00"
    assert bytes(Frame.binary(b"\x00", deflated=True)) == b"\xc2\x01\x00"


def test_control_frames() -> None:
    assert bytes(Frame.ping()) == rfc6455.encode(PING, b"")
    assert bytes(Frame.pong(b"x" * 125)) == rfc6455.encode(PONG, b"x" * 125)
    assert bytes(Frame.close()) == rfc6455.encode(CLOSE, b"")
    assert bytes(Frame.close(1012, "restart")) == rfc6455.encode(CLOSE, b"\x03\xf4restart")
    assert bytes(Frame.close(4001, "é" * 61)) == rfc6455.encode(
        CLOSE, b"\x0f\xa1" + "é".encode() * 61
    )


def test_control_frames_carry_at_most_125_bytes() -> None:
    with pytest.raises(ValueError, match="125"):
        Frame.pong(b"x" * 126)
    with pytest.raises(ValueError, match="123"):
        Frame.close(1000, "x" * 124)
    with pytest.raises(ValueError, match="123"):
        Frame.close(1000, "é" * 62)


@pytest.mark.parametrize("code", [-1, 65536])
def test_a_close_code_has_16_bits(code: int) -> None:
    with pytest.raises(OverflowError):
        Frame.close(code)


def test_frames_come_from_their_makers_only() -> None:
    with pytest.raises(TypeError, match=r"Frame\.text"):
        Frame()


def test_whoever_owes_a_frame_shares_it() -> None:
    """One buffer, however many connections owe it; each gives it back when it is written."""
    rig = Rig()
    handles = rig.open_many(50)
    frame = Frame.text(b"shared")
    assert frame.references == 1
    for handle in handles:
        rig.delivery.reply(handle, frame)
    assert frame.references == 51
    rig.core.release(handles[0])
    assert frame.references == 50
    rig.flush()
    assert frame.references == 1


def test_a_frame_outlives_who_made_it() -> None:
    rig = Rig()
    handle = rig.open()
    rig.delivery.reply(handle, Frame.text(b"kept"))
    rig.flush_replies()
    assert rig.received(handle) == [b"kept"]
