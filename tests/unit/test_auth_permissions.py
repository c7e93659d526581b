"""What a token permits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsgate.auth.limits import PATTERNS_MAX
from wsgate.auth.permissions import EVERYTHING, NOTHING, Permissions, PermissionsCache
from wsgate.rules import covers

fuzz = settings(deadline=None, max_examples=300)


@pytest.mark.parametrize(
    ("patterns", "name", "expected"),
    [
        (["token.abc.update"], "token.abc.update", True),
        (["token.abc.update"], "token.abd.update", False),
        (["token.*.update"], "token.abc.update", True),
        (["token.*.update"], "token.*.update", True),
        (["token.*.update"], "token.>", False),
        (["token.*.update"], "token.*.*", False),
        (["global.>"], "global.a.b", True),
        (["global.>"], "global.*.b", True),
        (["global.>"], "global", False),
        (["a.b", "global.>"], "global.new", True),
        # Only the two together cover it.
        (["a.*", "a.*.>"], "a.>", False),
        # Nor do all the channels that there happen to be.
        (["a.x", "a.y"], "a.*", False),
    ],
)
def test_permits(patterns: list[str], name: str, expected: bool) -> None:
    assert Permissions(patterns).permits(name) is expected


TOKEN = st.sampled_from(["a", "b", "*"])
SUBJECT = st.builds(
    lambda head, last: ".".join([*head, last]), st.lists(TOKEN, max_size=2), TOKEN | st.just(">")
)


@fuzz
@given(st.lists(SUBJECT, max_size=5), SUBJECT)
def test_a_name_is_permitted_exactly_if_one_pattern_covers_it(
    patterns: list[str], name: str
) -> None:
    assert Permissions(patterns).permits(name) == any(covers(one, name) for one in patterns)
    assert EVERYTHING.permits(name)
    assert not NOTHING.permits(name)


@pytest.mark.parametrize(
    "claim",
    [
        None,
        "token.>",
        {"token.>": True},
        7,
        [1],
        [None],
        [["token.>"]],
        [{}],
        ["a b"],
        [""],
        ["a..b"],
        ["a.>.b"],
        ["a*"],
        ["token.ü"],
        ["x" * 256],
        ["a.b", True],
        [f"a.{n}" for n in range(PATTERNS_MAX + 1)],
    ],
)
def test_a_claim_that_is_no_array_of_patterns(claim: Any) -> None:
    cache = PermissionsCache()
    with pytest.raises(ValueError):
        cache.of_claim(claim)
    assert len(cache) == 0


def test_as_many_patterns_as_are_allowed() -> None:
    permissions = Permissions([f"a.{n}" for n in range(PATTERNS_MAX)])
    assert permissions.permits(f"a.{PATTERNS_MAX - 1}")


def test_equal_claims_share_one_object() -> None:
    cache = PermissionsCache()
    first = cache.of_claim(["a.*", "b"])
    assert cache.of_claim(["a.*", "b"]) is first
    assert cache.of_claim(["a.*"]) is not first
    assert first.patterns == ("a.*", "b")
    assert not cache.of_claim([]).patterns


def test_the_least_recently_used_claims_go_first() -> None:
    cache = PermissionsCache(entries_max=2)
    a, b = cache.of_claim(["a"]), cache.of_claim(["b"])
    assert cache.of_claim(["a"]) is a
    cache.of_claim(["c"])
    assert len(cache) == 2
    assert cache.of_claim(["a"]) is a
    assert cache.of_claim(["b"]) is not b
