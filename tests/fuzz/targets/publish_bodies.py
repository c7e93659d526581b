"""The body of POST /publish: publications as they were written, or all that is wrong with it."""

from __future__ import annotations

import json

import orjson

from wsgate.limits import PAYLOAD_BYTES_MAX
from wsgate.protocol import is_channel
from wsgate.rules import DEFAULT_RULES
from wsgate.supervisor.publications import PUBLICATIONS_MAX, BadPublications, read

WORDS = [
    b'"publications"', b'"channel"', b'"data"', b'"token.a.update"', b'"global.x"', b'"token.*"',
    b'{"channel":"token.a.update","data":1}', b"[", b"]", b"{", b"}", b":", b",", b"null", b"1.50",
    b"123456789012345678901234567890", b"1e400", b"NaN", b"\xff", b'"\\ud800"', b"\n", b"[[[[[[[[",
]  # fmt: skip
SUBJECTS = ("token.*.update", "token.*.comment")


def fuzz(data: bytes) -> None:
    try:
        found = read(data, DEFAULT_RULES, SUBJECTS)
    except BadPublications as error:
        assert str(error)
        assert all(0 <= place < PUBLICATIONS_MAX for place in error.errors)
        return
    whole = json.loads(data)
    told = whole.get("publications", [whole])
    assert [channel for channel, _ in found] == [one["channel"] for one in told]
    for (channel, payload), one in zip(found, told, strict=True):
        assert is_channel(channel) and DEFAULT_RULES.match(channel) is not None
        assert payload in data and json.loads(payload) == one["data"]
        assert 0 < len(payload) <= PAYLOAD_BYTES_MAX
        orjson.loads(payload)
