"""Parts of JSON, each as a value and as the text that it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsgate.raw_json import CUT, DIGITS_MAX, LEVELS_MAX, at, elements, parse, path_of, pruned

NAMES = st.text(max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)  # fmt: skip
SPACES = st.sampled_from(["", " ", "\n\t", "  \r\n"])


def written(value: Any, spaces: Any) -> str:
    """JSON with white space wherever there may be some."""
    space = spaces.draw(SPACES)
    if isinstance(value, list):
        inside = ",".join(written(one, spaces) for one in value)
        return f"{space}[{space}{inside}]{space}"
    if isinstance(value, dict):
        inside = ",".join(
            f"{space}{json.dumps(name)}{space}:{written(one, spaces)}"
            for name, one in value.items()
        )
        return f"{space}{{{space}{inside}}}{space}"
    return f"{space}{json.dumps(value)}{space}"


@given(VALUES, st.data())
def test_every_part_is_the_text_of_its_value(value: Any, spaces: Any) -> None:
    whole = parse(written(value, spaces))
    left = [(whole, value)]
    while left:
        part, expected = left.pop()
        assert part.value == expected
        assert json.loads(part.text) == expected
        assert part.text == part.text.strip(" \t\r\n")
        if isinstance(expected, list):
            left += zip(elements(part), expected, strict=True)
        elif isinstance(expected, dict):
            for name, inner in expected.items():
                found = at(part, (name,))
                assert found is not None
                left.append((found, inner))


@given(VALUES, st.integers(0, 3), st.data())
def test_only_what_is_past_the_limits_is_cut_out(value: Any, level: int, spaces: Any) -> None:
    text = written([value, "9" * (DIGITS_MAX + 1)], spaces)
    assert pruned(text, level) == text
    past = "[" * (LEVELS_MAX + 1) + "]" * (LEVELS_MAX + 1)
    assert pruned(f"[{text},{past},{text}]", 1) == f"[{text},{CUT},{text}]"
    assert pruned(f"[{text},[9{'9' * DIGITS_MAX}],{text}]", 1) == f"[{text},{CUT},{text}]"


def test_numbers_stay_as_they_were() -> None:
    text = '{"a":{"b":[1.10, 123456789012345678901234567890, 1E2]}}'
    found = at(parse(text), ("a", "b"))
    assert found is not None
    assert [part.text for part in elements(found)] == [
        "1.10",
        "123456789012345678901234567890",
        "1E2",
    ]


def test_what_is_not_there() -> None:
    whole = parse('{"a":{"b":null}, "c":[1]}')
    assert at(whole, ()) == whole
    assert at(whole, ("b",)) is at(whole, ("a", "c")) is at(whole, ("c", "0")) is None
    found = at(whole, ("a", "b"))
    assert found is not None and found.value is None


def test_of_several_of_a_name_the_last_counts() -> None:
    found = at(parse('{"a":1,"\\u0061":2}'), ("a",))
    assert found is not None and found.text == "2"


@pytest.mark.parametrize(
    "text", ["", " ", "{", "[1,]", "1 2", "{} x", "NaN", "[Infinity]", '"\n"', "'a'", "[" * 100_000]
)
def test_what_is_no_json(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


def test_paths() -> None:
    assert path_of("a") == ("a",)
    assert path_of("a.b-c.0") == ("a", "b-c", "0")
    assert path_of(".") == ()
    for wrong in ("", "a.", ".a", "a..b"):
        with pytest.raises(ValueError):
            path_of(wrong)
