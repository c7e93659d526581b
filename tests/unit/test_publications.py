"""What is read from a request to publish: all of it, or every reason why not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wsgate.limits import PAYLOAD_BYTES_MAX
from wsgate.rules import DEFAULT_RULES
from wsgate.supervisor.publications import PUBLICATIONS_MAX, BadPublications, read

SUBJECTS = ("token.*.update", "global.>")
GOOD = {"channel": "token.a.update", "data": {"price": 1}}


def refused(body: Any, subjects: Any = None) -> BadPublications:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(BadPublications) as caught:
        read(text, DEFAULT_RULES, subjects)
    return caught.value


def test_one_or_many_and_data_stay_as_they_came() -> None:
    one = b'{"data" : {"price": 1.10, "wei":123456789012345678901}, "channel":"token.a.update"}'
    found = read(one, DEFAULT_RULES, SUBJECTS)
    assert found == [("token.a.update", b'{"price": 1.10, "wei":123456789012345678901}')]
    many = b'{"publications":[%s, {"channel":"global.x","data":null}]}' % one
    assert read(many, DEFAULT_RULES, None) == [*found, ("global.x", b"null")]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the body is not JSON: "),
        (b"{", "the body is not JSON: "),
        (b'{"channel":"token.a.update","data":NaN}', "the body is not JSON: NaN"),
        (b'{"channel":"token.a.update","data":"\xff"}', "the body is not JSON: "),
        (b'{"channel":"token.a.update","data":"\\ud800"}', "the body is not JSON: "),
        ([], "the body is not like "),
        ({}, "the body is not like "),
        ({**GOOD, "publications": [GOOD]}, "the body is not like "),
        ({"publications": GOOD}, "publications are no array of 1 to 1000"),
        ({"publications": []}, "publications are no array of 1 to 1000"),
        ({"publications": [GOOD] * (PUBLICATIONS_MAX + 1)}, "publications are no array of 1 to"),
    ],
)
def test_bodies_that_are_refused_whole(body: Any, said: str) -> None:
    error = refused(body)
    assert str(error).startswith(said)
    assert error.errors == {}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (5, "it is no object with channel and data"),
        ({"channel": "token.a.update"}, "it is no object with channel and data"),
        ({**GOOD, "type": "x"}, "it has 'type'; allowed are channel and data"),
        ({**GOOD, "channel": 5}, "'5' is not the name of a channel"),
        ({**GOOD, "channel": "token.*.update"}, "'token.*.update' is not the name of a channel"),
        ({**GOOD, "channel": "x"}, "no rule in WS_RULES matches 'x', so nobody could get it"),
        (
            {**GOOD, "channel": "token.a.comment"},
            "nothing in NATS_SUBJECTS matches 'token.a.comment', so no gateway would hear it",
        ),
        (
            {**GOOD, "data": "x" * PAYLOAD_BYTES_MAX},
            f"its data has {PAYLOAD_BYTES_MAX + 2} bytes; allowed are {PAYLOAD_BYTES_MAX}",
        ),
    ],
)
def test_every_wrong_one_is_told_and_none_is_published(wrong: Any, said: str) -> None:
    error = refused({"publications": [GOOD, wrong, GOOD, wrong]}, SUBJECTS)
    assert str(error) == "nothing was published: see errors"
    assert error.errors == {1: said, 3: said}


def test_without_nats_its_subjects_do_not_matter() -> None:
    body = json.dumps({"channel": "token.a.comment", "data": 1}).encode()
    assert read(body, DEFAULT_RULES, None) == [("token.a.comment", b"1")]
