"""The grammar of channels and patterns."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsgate.protocol import is_channel, is_channel_or_pattern, is_pattern

fuzz = settings(deadline=None, max_examples=300)

LITERAL = frozenset(string.printable.strip()) - frozenset('"\\.*>')


def channel_by_the_book(name: str, wildcards: bool) -> bool:
    tokens = name.split(".")
    if len(name) > 255 or len(tokens) > 16:
        return False
    for place, token in enumerate(tokens):
        if wildcards and (token == "*" or (token == ">" and place == len(tokens) - 1)):
            continue
        if not token or not set(token) <= LITERAL:
            return False
    return True


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "global.trending",
        "token.abc123.update",
        "a-b_c.D$9.~!#%&'()+,/:;<=?@[]^`{|}",
        "x" * 255,
        ".".join("x" * 16),
    ],
)
def test_names(name: str) -> None:
    assert is_channel(name)
    assert is_channel_or_pattern(name)
    assert not is_pattern(name)


@pytest.mark.parametrize("name", ["*", ">", "token.*.update", "token.>", "*.*.>", "*." * 15 + ">"])
def test_patterns(name: str) -> None:
    assert not is_channel(name)
    assert is_channel_or_pattern(name)
    assert is_pattern(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "a b",
        "a\tb",
        "a\nb",
        "a\n",
        'a"b',
        "a\\b",
        "a\x00b",
        "a\x7f",
        "é",
        "日本",
        "😀",
        ">.a",
        "a.>.b",
        "a*",
        "*a",
        "a.b>",
        ">>",
        "**",
        "a.**",
        "x" * 256,
        ".".join("x" * 17),
        "*." * 16 + ">",
    ],
)
def test_neither_name_nor_pattern(name: str) -> None:
    assert not is_channel(name)
    assert not is_channel_or_pattern(name)


@fuzz
@given(
    st.one_of(
        st.text(max_size=12),
        st.text(alphabet='ab.*>"\\ \x7f', max_size=12),
        st.lists(st.sampled_from(["a", "*", ">", "", "x" * 20, "a>"]), max_size=18).map(".".join),
    )
)
def test_grammar_agrees_with_the_book(name: str) -> None:
    assert is_channel(name) == channel_by_the_book(name, wildcards=False)
    assert is_channel_or_pattern(name) == channel_by_the_book(name, wildcards=True)


@fuzz
@given(st.text(alphabet=string.printable, min_size=1, max_size=20))
def test_a_valid_name_is_its_own_json_string(name: str) -> None:
    if is_channel_or_pattern(name):
        assert json.dumps(name) == f'"{name}"'
