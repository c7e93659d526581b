"""What a backend's answer says, and which of it is news."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgate.raw_json import DIGITS_MAX, LEVELS_MAX
from wsgate.sources.poll_answer import AnswerUnusable, Item, Shape, read
from wsgate.sources.poll_limits import CURSOR_CHARACTERS_MAX
from wsgate.sources.poll_versions import Versions

SHAPE = Shape()
DEEP = Shape(
    items=("data", "list"), id=("token", "id"), version=("at",), cursor=("next",), channel="a.{id}"
)


def answer(*items: Any, **more: Any) -> bytes:
    return json.dumps({"items": items, **more}).encode()


def item(id: str, version: Any, **more: Any) -> Item:
    (found,) = read(answer({"id": id, "version": version, **more}), SHAPE).items
    return found


def test_items_stay_as_they_came() -> None:
    text = b'{"id":"abc", "price":1.10,"version" : 7, "wei":123456789012345678901234567890}'
    found = read(b'{"cursor":"c1","items":[ %s ]}' % text, SHAPE)
    (only,) = found.items
    assert (only.id, only.channel, only.payload) == ("abc", "token.abc.update", text)
    assert (found.cursor, found.refused) == ("c1", Counter())


def test_places_are_the_settings() -> None:
    body = b'{"data":{"list":[{"token":{"id":7},"at":"2026-01-01"}]},"next":1.50}'
    found = read(body, DEEP)
    assert [(one.id, one.channel) for one in found.items] == [("7", "a.7")]
    assert found.cursor == "1.50"
    root = Shape(items=())
    assert [one.id for one in read(b'[{"id":"a","version":1}]', root).items] == ["a"]


@pytest.mark.parametrize(
    ("cursor", "sent"), [("a b&c", "a b&c"), (17, "17"), (2**70, str(2**70)), (None, None)]
)
def test_cursors(cursor: Any, sent: str | None) -> None:
    assert read(answer(cursor=cursor), SHAPE).cursor == sent
    assert read(answer(), SHAPE).cursor is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the answer is not JSON"),
        (b"<html>", "the answer is not JSON"),
        (b'{"items":[NaN]}', "NaN is not JSON"),
        (b'{"items":["\xff"]}', "the answer is not UTF-8"),
        (b"{}", "the answer has nothing at 'items' (WS_POLL_ITEMS)"),
        (b"[]", "the answer has nothing at 'items' (WS_POLL_ITEMS)"),
        (b'{"items":{}}', "the answer has no array at 'items' (WS_POLL_ITEMS)"),
        (answer(cursor=True), "'cursor' (WS_POLL_CURSOR), is neither text nor a number"),
        (answer(cursor=[]), "'cursor' (WS_POLL_CURSOR), is neither text nor a number"),
        (answer(cursor=""), "'cursor' (WS_POLL_CURSOR), is neither text nor a number"),
        (answer(cursor="x" * (CURSOR_CHARACTERS_MAX + 1)), "has more than 1024 characters"),
    ],
)
def test_answers_of_which_nothing_can_be_made(body: bytes, said: str) -> None:
    with pytest.raises(AnswerUnusable) as caught:
        read(body, SHAPE)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "setting"),
    [
        (5, "WS_POLL_ID"),
        ({"version": 1}, "WS_POLL_ID"),
        ({"id": "", "version": 1}, "WS_POLL_ID"),
        ({"id": "a.b", "version": 1}, "WS_POLL_ID"),
        ({"id": "*", "version": 1}, "WS_POLL_ID"),
        ({"id": "a b", "version": 1}, "WS_POLL_ID"),
        ({"id": "x" * 256, "version": 1}, "WS_POLL_ID"),
        ({"id": 1.5, "version": 1}, "WS_POLL_ID"),
        ({"id": True, "version": 1}, "WS_POLL_ID"),
        ({"id": "a"}, "WS_POLL_VERSION"),
        ({"id": "a", "version": None}, "WS_POLL_VERSION"),
        ({"id": "a", "version": True}, "WS_POLL_VERSION"),
        ({"id": "a", "version": [1]}, "WS_POLL_VERSION"),
    ],
)
def test_one_bad_item_does_not_cost_the_others(wrong: Any, setting: str) -> None:
    good = {"id": "b", "version": 1}
    found = read(answer(wrong, good, wrong), SHAPE)
    assert [one.id for one in found.items] == ["b"]
    assert found.refused == {setting: 2}


DEEPEST = "[" * LEVELS_MAX + "]" * LEVELS_MAX


@pytest.mark.parametrize("past", [f"[{'[' * 100_000}{']' * 100_000}]", "9" * (DIGITS_MAX + 1)])
def test_an_item_that_no_parser_takes_does_not_cost_the_others(past: str) -> None:
    bad = f'{{"id":"a","version":1,"quoted":"]}}\\"]}}","past":{past}}}'
    good = f'{{"id":"b","version":1,"deep":{DEEPEST[1:-1]},"quoted":"\\\\","digits":"{past}"}}'
    found = read(f'{{"items":[{bad},{good}, {bad}],"cursor":2,"x":[{bad}]}}'.encode(), SHAPE)
    assert [one.payload.decode() for one in found.items] == [good]
    assert (found.cursor, found.refused) == ("2", {"WS_POLL_ITEMS": 2})
    root = Shape(items=())
    assert [one.id for one in read(f"[{bad},{good}]".encode(), root).items] == ["b"]
    with pytest.raises(AnswerUnusable, match="is not JSON"):
        read(f'{{"items":[{bad},{{]}}'.encode(), SHAPE)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"items":[],"cursor":%s}' % ("9" * (DIGITS_MAX + 1)), "outside of items, an integer in"),
        ("[" * 100_000, "outside of items, it is nested too deeply"),
    ],
)
def test_what_no_parser_takes_outside_of_items_is_told(body: str, said: str) -> None:
    with pytest.raises(AnswerUnusable) as caught:
        read(body.encode(), SHAPE)
    assert said in str(caught.value)


CHANGES = st.lists(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=8), max_size=8
)


@given(CHANGES)
def test_each_change_once_and_in_order_whatever_is_answered(answers: list[Any]) -> None:
    versions = Versions(100)
    newest: dict[str, int] = {}
    delivered: list[tuple[str, int]] = []
    for told in answers:
        news = versions.news(item(id, version) for id, version in told)
        found = [(one.id, one.version[1]) for one in news]
        # All that is newer than what was delivered before this answer, and nothing else.
        assert sorted(found) == sorted({one for one in told if one[1] > newest.get(one[0], -1)})
        delivered += found
        for id, version in found:
            newest[id] = max(version, newest.get(id, -1))
    for id in "abc":
        mine = [version for one, version in delivered if one == id]
        assert mine == sorted(set(mine))
        answered = [version for told in answers for one, version in told if one == id]
        assert max(mine, default=None) == max(answered, default=None)
    told_in_all = sum(map(len, answers))
    assert versions.taken == len(delivered)
    assert versions.taken + versions.repeated + versions.old == told_in_all


def test_versions_may_be_text_and_are_compared_as_such() -> None:
    versions = Versions(10)
    times = ["2026-01-02T00:00:00Z", "2026-01-01T23:59:59Z", "2026-01-10T00:00:00Z"]
    news = versions.news(item("a", time) for time in times)
    assert [one.version[1] for one in news] == sorted(times)
    assert not versions.news([item("a", 10**12)])  # numbers are older than any text
    assert versions.old == 1


def test_large_versions_are_exact() -> None:
    versions = Versions(10)
    assert len(versions.news([item("a", 2**70), item("a", 2**70 + 1)])) == 2
    assert not versions.news([item("a", float(2**70))])


def test_a_repeat_is_one_whatever_else_is_in_it() -> None:
    versions = Versions(10)
    assert versions.news([item("a", 1, price=1)])
    assert not versions.news([item("a", 1.0, price=2)])
    assert (versions.taken, versions.repeated, versions.old) == (1, 1, 0)


def test_of_too_many_ids_the_longest_unseen_is_forgotten() -> None:
    versions = Versions(2)
    versions.news([item("a", 1), item("b", 1)])
    versions.news([item("a", 1)])  # seen, though no news
    versions.news([item("c", 1)])
    assert (len(versions), versions.forgotten) == (2, 1)
    assert [one.id for one in versions.news([item("a", 1), item("b", 1)])] == ["b"]
