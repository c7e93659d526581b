"""What a backend that is polled answers: items and a cursor, or one error that says why not."""

from __future__ import annotations

import json

from wsgate.protocol import is_channel
from wsgate.sources.poll_answer import AnswerUnusable, Shape, read
from wsgate.sources.poll_limits import CURSOR_CHARACTERS_MAX
from wsgate.sources.poll_versions import Versions

WORDS = [
    b'"items"', b'"id"', b'"version"', b'"cursor"', b'"a"', b'{"id":"a","version":1}', b"[", b"]",
    b"{", b"}", b":", b",", b"null", b"true", b"-0", b"1.50", b"1e400", b"NaN", b"Infinity",
    b"123456789012345678901234567890", b"\xff", b"\xef\xbb\xbf", b'"\\u0000"', b'"\\ud800"', b"\n",
    b'"a.b"', b'"*"', b"[[[[[[[[",
]  # fmt: skip


def fuzz(data: bytes) -> None:
    try:
        answer = read(data, Shape())
    except AnswerUnusable as error:
        assert str(error).startswith("the answer")
        return
    assert answer.cursor is None or 0 < len(answer.cursor) <= CURSOR_CHARACTERS_MAX
    try:
        whole = json.loads(data)
    except json.JSONDecodeError:
        raise
    except (RecursionError, ValueError):  # past what it takes: then items may be cut out
        return
    assert len(answer.items) + answer.refused.total() == len(whole["items"])
    for item in answer.items:
        assert item.payload in data
        assert json.loads(item.payload) in whole["items"]
        assert is_channel(item.channel) and item.channel == f"token.{item.id}.update"
    versions = Versions(2)
    news = versions.news(answer.items)
    assert len(news) + versions.repeated + versions.old == len(answer.items)
    assert len(versions) <= 2
