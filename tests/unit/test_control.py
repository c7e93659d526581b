"""What backends tell the gateway itself."""

from __future__ import annotations

import json

import pytest

from wsgate.control import (
    MISSED_AT_ONCE_MAX,
    REVOKED_AT_ONCE_MAX,
    BadControl,
    control_subjects,
    gap_message,
    missed_channels,
    revoked_subjects,
)


@pytest.mark.parametrize(
    ("payload", "subjects"),
    [
        ({"subject": "user-1"}, {"user-1"}),
        ({"subjects": ["a", "b", "a"]}, {"a", "b"}),
        ({"subjects": []}, set()),
        ({"subject": "a", "reason": "a later version may say"}, {"a"}),
        ({"subject": "x" * 255}, {"x" * 255}),
        ({"subjects": [str(n) for n in range(1000)]}, {str(n) for n in range(1000)}),
    ],
)
def test_who_is_cut_off(payload: object, subjects: set[str]) -> None:
    assert REVOKED_AT_ONCE_MAX == 1000
    assert revoked_subjects(json.dumps(payload).encode()) == subjects


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b'{"subject":"\xff"}',
        b"[]",
        b"{}",
        b'"user-1"',
        b'{"subject":"a","subjects":["b"]}',
        b'{"subject":null}',
        b'{"subject":""}',
        b'{"subject":["a"]}',
        b'{"subjects":"a"}',
        b'{"subjects":["a",7]}',
        json.dumps({"subject": "x" * 256}).encode(),
        json.dumps({"subjects": [str(n) for n in range(1001)]}).encode(),
    ],
)
def test_what_cannot_be_understood_cuts_nobody_off(payload: bytes) -> None:
    with pytest.raises(BadControl) as caught:
        revoked_subjects(payload)
    assert "user-1" not in str(caught.value)


@pytest.mark.parametrize("channels", [["token.*.update"], ["a", "b.>"], ["a"] * MISSED_AT_ONCE_MAX])
def test_of_what_some_is_missing(channels: list[str]) -> None:
    assert missed_channels(gap_message(channels)) == tuple(channels)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{}",
        b'{"channels":"a"}',
        b'{"channels":[]}',
        b'{"channels":[7]}',
        b'{"channels":["a..b"]}',
        b'{"channels":["a\\u0000"]}',
        gap_message(["a"] * (MISSED_AT_ONCE_MAX + 1)),
    ],
)
def test_a_gap_that_cannot_be_understood_is_none(payload: bytes) -> None:
    with pytest.raises(BadControl):
        missed_channels(payload)


def test_where_a_gateway_listens() -> None:
    revoke, gap = "wsgate.control.revoke", "wsgate.control.gap"
    assert control_subjects(revocations=False, gaps=False) == ()
    assert control_subjects(revocations=True, gaps=False) == (revoke,)
    assert control_subjects(revocations=False, gaps=True) == (gap,)
    assert control_subjects(revocations=True, gaps=True) == (revoke, gap)
