"""Patterns, as NATS means them: one by one, and many at once in the trie that the index keeps."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core import model
from tests.core.rig import Rig
from wsgate.core.pattern import matches

NAMES = [".".join(name) for length in range(1, 5) for name in product("abc", repeat=length)]
PATTERNS = [
    ".".join((*head, last))
    for length in range(3)
    for head in product("ab*", repeat=length)
    for last in ("a", "b", "*", ">")
]
WILD = [pattern for pattern in PATTERNS if model.is_pattern(pattern)]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_matches_what_nats_matches(pattern: str) -> None:
    for name in NAMES:
        assert matches(pattern, name) == model.matches(pattern, name), name


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("token.abc", "token.abcd"),
        ("token.abcd", "token.abc"),
        ("token.*", "token"),
        ("token.>", "token"),
        ("token.*.update", "token.abc"),
        ("token.*.update", "token.abc.updates"),
        ("token.*.update", "token.abc.def.update"),
        ("tok", "token"),
    ],
)
def test_a_beginning_is_not_a_match(pattern: str, name: str) -> None:
    assert not matches(pattern, name)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(WILD)), max_size=40))
@settings(deadline=None, max_examples=200)
def test_patterns_come_and_go(changes: list[tuple[bool, str]]) -> None:
    """After any coming and going a channel reaches exactly who has a pattern that matches it."""
    rig = Rig()
    prefix = "event."
    subscribers: dict[str, int] = {}
    for comes, pattern in changes:
        handle = subscribers.setdefault(pattern, 0) or rig.open()
        subscribers[pattern] = handle
        if comes:
            rig.core.subscribe_pattern(handle, prefix + pattern)
        else:
            rig.core.unsubscribe(handle, prefix + pattern)
        rig.core.check()
    there = {
        pattern for pattern, handle in subscribers.items() if rig.core.subscription_count(handle)
    }
    for name in ("a", "b.a", "a.b.a", "c.c.c.c"):
        rig.clear()
        wanted = {p for p in there if model.matches(prefix + p, prefix + name)}
        assert rig.publish(prefix + name) == bool(wanted)
        rig.flush()
        assert {p for p, handle in subscribers.items() if rig.received(handle)} == wanted
    for pattern, handle in subscribers.items():
        rig.core.unsubscribe(handle, prefix + pattern)
    assert not rig.publish("event.a"), "no pattern is left"
