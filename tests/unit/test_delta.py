"""The decoder of wsgate.delta.v1: the vectors that clients are tested with, and what it holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.delta import (
    deflated,
    delta,
    head,
    keyframe,
    publication,
    renewal,
    same,
    varint,
    word,
)
from wsgate import delta as module
from wsgate.delta import CHANNELS_HELD_MAX, Decoder, DeltaError, Form, squeeze

ROOT = Path(__file__).parents[2]
VECTORS = json.loads((ROOT / "tests" / "vectors" / "delta.json").read_text())
DOCUMENT = (ROOT / "docs" / "protocol.md").read_text()
DOCUMENT = DOCUMENT.partition("## The binary subprotocol")[2].partition("\n## ")[0]


@pytest.mark.parametrize("stream", VECTORS["streams"], ids=lambda stream: stream["name"])
def test_vectors(stream: dict[str, Any]) -> None:
    decoder = Decoder(VECTORS["payload_bytes_max"])
    for message in stream["messages"]:
        data = bytes.fromhex(message["hex"])
        if message.get("error"):
            with pytest.raises(DeltaError):
                decoder.decode(data)
            continue
        found = decoder.decode(data)
        if "publication" in message:
            plain = found and {**found._asdict(), "data": found.data.decode()}
            assert plain == message["publication"]


def test_the_vectors_have_every_form_and_many_errors() -> None:
    forms = {
        int(m["hex"][:2], 16) & 7 for s in VECTORS["streams"] for m in s["messages"] if m["hex"]
    }
    assert forms >= set(Form)
    assert sum("error" in s["messages"][-1] for s in VECTORS["streams"]) > 30


def test_the_document_s_table_of_forms() -> None:
    rows = [row.split("|")[1:-1] for row in DOCUMENT.splitlines() if row.startswith("| ")]
    forms = {row[0].strip(): int(row[1]) for row in rows if row[1].strip().isdigit()}
    assert forms == {form.name: form.value for form in Form}
    for number in (module.CHANNELS_HELD_MAX, module.KEYFRAME_BYTES_MAX):
        assert f" {number} " in DOCUMENT


def test_the_document_s_example() -> None:
    decoder = Decoder()
    messages = [bytes.fromhex(line) for line in DOCUMENT.splitlines() if line.startswith("    ")]
    found = [decoder.decode(message) for message in messages]
    assert [one and (one.channel, one.seq, one.prev, one.data) for one in found] == [
        None,
        ("token.abc.update", 41, 40, b'{"price":"0.0123","name":"ABC"}'),
        ("token.abc.update", 42, 41, b'{"price":"0.0124","name":"ABC"}'),
    ]


@given(payload=st.binary(max_size=20_000), dictionary=st.binary(max_size=20_000))
def test_what_is_squeezed_can_be_inflated(payload: bytes, dictionary: bytes) -> None:
    if payload:
        message = publication(Form.DELTA, 1, 0, 1, 1, squeeze(payload, dictionary))
        decoder = Decoder()
        decoder.decode(keyframe(1, 0, 1, dictionary))
        found = decoder.decode(message)
        assert found is not None and found.data == payload


@pytest.mark.parametrize("size", [256, 4096, 30_000, 32_768])
def test_the_whole_dictionary_is_in_reach(size: int) -> None:
    dictionary = bytes(range(256)) * (size // 256) + bytes(size % 256)
    payload = dictionary[:200] + dictionary[-200:]
    decoder = Decoder()
    decoder.decode(keyframe(1, 0, 1, dictionary))
    found = decoder.decode(publication(3, 1, 0, 1, 1, squeeze(payload, dictionary)))
    assert found is not None and found.data == payload


def test_who_was_there_first_is_forgotten_first() -> None:
    decoder = Decoder()
    for number in range(1, CHANNELS_HELD_MAX + 1):
        decoder.decode(keyframe(number, 0, 1, b"1", f"c{number}"))
    decoder.decode(keyframe(1, 5, 2, b"2", "c1"))  # held already: keeps its age
    decoder.decode(renewal(2, 0, 1, b"2", b"1"))
    assert len(decoder) == CHANNELS_HELD_MAX
    decoder.decode(keyframe(9999, 0, 1, b"1", "c9999"))
    assert len(decoder) == CHANNELS_HELD_MAX
    found = decoder.decode(same(2, 1, 0, 1))
    assert found is not None and found.data == b"2"
    with pytest.raises(DeltaError, match="no keyframe of channel 1 "):
        decoder.decode(same(1, 5, 0, 1))


def test_a_limit_to_what_is_inflated() -> None:
    decoder = Decoder(payload_bytes_max=100)
    decoder.decode(keyframe(1, 0, 1, b"x" * 200))
    found = decoder.decode(delta(1, 0, 1, 1, b"y" * 100, b"x" * 200))
    assert found is not None and len(found.data) == 100
    with pytest.raises(DeltaError, match="more than 100 bytes"):
        decoder.decode(delta(1, 0, 1, 1, b"y" * 101, b"x" * 200))
    with pytest.raises(DeltaError, match="200 bytes"):
        decoder.decode(same(1, 0, 1, 1))


def test_any_kind_of_memory_will_do() -> None:
    message = keyframe(1, 0, 1, b"1")
    assert Decoder().decode(bytes(bytearray(message))) is None


def test_a_name_of_any_length() -> None:
    name = "x" * 255
    decoder = Decoder()
    start = head(Form.KEYFRAME, 0, 1) + varint(1) + b"\x01"
    decoder.decode(start + word("t" * 200) + word(name) + deflated(b"1"))
    found = decoder.decode(same(1, 0, 0, 0))
    assert found is not None and (found.channel, found.type) == (name, "t" * 200)
