"""Subjects against a brute-force model, and what rules decide."""

from __future__ import annotations

import json
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsgate.rules import DEFAULT_RULES, Kind, Overflow, Rule, Rules, covers, matches, overlaps

fuzz = settings(deadline=None, max_examples=300)

# The model: a pattern is the set of names it matches. Patterns have at most 3 tokens of "a", "b"
# and wildcards, so names of 4 tokens and a token that no pattern has tell any two apart.
NAMES = [name for length in range(1, 5) for name in product("abc", repeat=length)]
PATTERNS = [
    (*head, last)
    for length in range(3)
    for head in product("ab*", repeat=length)
    for last in ("a", "b", "*", ">")
]


def names_of(pattern: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    def fits(name: tuple[str, ...]) -> bool:
        if pattern[-1] == ">":
            head = pattern[:-1]
            if len(name) <= len(head):
                return False
        else:
            head = pattern
            if len(name) != len(head):
                return False
        return all(want in ("*", have) for want, have in zip(head, name, strict=False))

    return frozenset(name for name in NAMES if fits(name))


MODEL = {".".join(pattern): names_of(pattern) for pattern in PATTERNS}


def test_matches_agrees_with_the_model() -> None:
    for pattern, names in MODEL.items():
        for name in NAMES:
            assert matches(pattern, ".".join(name)) == (name in names), (pattern, name)


def test_covers_agrees_with_the_model() -> None:
    for wide, narrow in product(MODEL, repeat=2):
        assert covers(wide, narrow) == (MODEL[wide] >= MODEL[narrow]), (wide, narrow)


def test_overlaps_agrees_with_the_model() -> None:
    for a, b in product(MODEL, repeat=2):
        assert overlaps(a, b) == bool(MODEL[a] & MODEL[b]), (a, b)


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ("token.*.update", "token.*.update", True),
        ("token.*.update", "token.abc.update", True),
        ("token.*.update", "token.>", False),
        ("token.*.update", "token.*.*", False),
        ("global.>", "global.>", True),
        ("global.>", "global.*", True),
        ("global.>", "global.a.>", True),
        ("global.>", "global", False),
        ("global.>", ">", False),
        ("global.*", "global.>", False),
        (">", "a.b.>", True),
        ("*.>", ">", False),
    ],
)
def test_covers(wide: str, narrow: str, expected: bool) -> None:
    assert covers(wide, narrow) is expected


# --------------------------------------------------------------------------------------- rules


def rule(subject: str, kind: Kind = Kind.EVENT) -> Rule:
    return Rule(subject, "t", kind)


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        ("token.abc.update", ("token_update", Kind.STATE)),
        ("token.abc.comment", ("token_comment", Kind.EVENT)),
        ("global.trending", ("global_update", Kind.STATE)),
        ("global.new", ("global_update", Kind.EVENT)),
        ("global.trending.top", ("global_update", Kind.EVENT)),
    ],
)
def test_default_rules(channel: str, expected: tuple[str, Kind]) -> None:
    found = DEFAULT_RULES.match(channel)
    assert found is not None
    assert (found.type, found.kind) == expected
    assert found.overflow is Overflow.GAP


@pytest.mark.parametrize(
    "channel", ["global", "token", "token.abc", "token.a.b.update", "token.abc.updates", "other"]
)
def test_what_no_default_rule_matches(channel: str) -> None:
    assert DEFAULT_RULES.match(channel) is None
    assert DEFAULT_RULES.index(channel) is None


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("token.*.update", True),
        ("token.*.comment", True),
        ("global.>", True),
        ("global.*", True),
        ("global.a.*", True),
        ("token.>", False),
        ("token.*.*", False),
        ("token.abc.*", False),
        ("*.trending", False),
        ("*.>", False),
        (">", False),
    ],
)
def test_patterns_that_default_rules_permit(pattern: str, expected: bool) -> None:
    assert DEFAULT_RULES.permits(pattern) is expected


def test_the_first_rule_that_matches_wins() -> None:
    rules = Rules([rule("a.b.c"), rule("a.*.c"), rule("a.>")])
    assert [rules.index(name) for name in ("a.b.c", "a.x.c", "a.b", "a")] == [0, 1, 2, None]
    assert rules.match("a.x.c") is rules[1]
    assert list(rules) == [rules[0], rules[1], rules[2]]
    assert len(rules) == 3


def test_a_pattern_that_only_two_rules_together_cover_is_not_permitted() -> None:
    rules = Rules([rule("a.*"), rule("a.*.>")])
    assert rules.permits("a.*")
    assert rules.permits("a.*.>")
    assert not rules.permits("a.>")


def test_characters_that_mean_something_to_regular_expressions_are_literal() -> None:
    rules = Rules([rule("a+b.$x|y.(z"), rule("[ab]^.{2}")])
    assert rules.index("a+b.$x|y.(z") == 0
    assert rules.index("[ab]^.{2}") == 1
    assert rules.index("aab.$x.(z") is None
    assert rules.index("a^.{2}") is None


TOKENS = st.sampled_from(["a", "b", "*"])
SUBJECTS = st.builds(
    lambda head, last: ".".join([*head, last]), st.lists(TOKENS, max_size=2), TOKENS | st.just(">")
)


@fuzz
@given(st.lists(SUBJECTS, min_size=1, max_size=6))
def test_rules_agree_with_the_functions(subjects: list[str]) -> None:
    reachable: list[str] = []
    for subject in subjects:
        if not any(covers(earlier, subject) for earlier in reachable):
            reachable.append(subject)
    rules = Rules(rule(subject) for subject in reachable)
    for tokens in NAMES:
        name = ".".join(tokens)
        first = next((i for i, subject in enumerate(reachable) if matches(subject, name)), None)
        assert rules.index(name) == first
        assert rules.permits(name) == (first is not None)
    for pattern in MODEL:
        assert rules.permits(pattern) == any(covers(subject, pattern) for subject in reachable)


def test_sixty_four_rules_and_no_more() -> None:
    rules = Rules(rule(f"a.{n}.*") for n in range(64))
    assert rules.index("a.63.x") == 63
    with pytest.raises(ValueError, match="65 rules; allowed are 1 to 64"):
        Rules(rule(f"a.{n}.*") for n in range(65))
    with pytest.raises(ValueError, match="0 rules"):
        Rules([])


def test_a_rule_that_is_never_reached_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'a\.b' is never reached: 'a\.\*'"):
        Rules([rule("a.*"), rule("a.b")])


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"subject": "a..b"}, "subject 'a..b'"),
        ({"subject": "a b"}, "subject 'a b'"),
        ({"type": ""}, "type ''"),
        ({"type": 'a"b'}, "type 'a\"b'"),
        ({"type": "x" * 65}, "type 'xxx"),
        ({"type": "subscribed"}, "one of the gateway's own"),
        ({"type": "gap"}, "one of the gateway's own"),
        ({"kind": "stat"}, "kind is 'stat', not 'state' or 'event'"),
        ({"overflow": "drop"}, "overflow is 'drop', not 'gap' or 'close'"),
        ({"kind": "state", "overflow": "close"}, "overflow 'close' is for events"),
        ({"colour": "red"}, "no field 'colour'"),
        ({"type": 1}, "type of a rule is a string, not 1"),
        ({"history_events": 32_769}, "history_events is 32769, not from 0, which keeps nothing,"),
        ({"history_events": -1}, "history_events is -1, not from 0, which keeps nothing, to 32768"),
        ({"history_bytes": -1}, "history_bytes is -1, not from 0"),
        ({"history_age_s": -1}, "history_age_s is -1, not from 0"),
        ({"history_age_s": -1.0}, "history_age_s is -1.0, not from 0"),
        ({"history_age_s": -0.5}, "history_age_s is -0.5, not from 0"),
        ({"kind": "state", "history_events": -1}, "history_events is -1, not from 0"),
    ],
)
def test_rules_from_json_say_what_is_wrong(fields: dict[str, object], complaint: str) -> None:
    entry = {"subject": "a.*", "type": "a_update", "kind": "event"} | fields
    with pytest.raises(ValueError) as caught:
        Rules.from_json(json.dumps([entry]))
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "{", "{}", "[]", "[1]", '[{"subject":"a"}]', '[{"subject":"a","type":"t"}]']
)
def test_what_is_no_list_of_rules(text: str) -> None:
    with pytest.raises(ValueError):
        Rules.from_json(text)


def test_rules_from_json() -> None:
    rules = Rules.from_json(
        '[{"subject":"order.*","type":"order","kind":"event","overflow":"close"},'
        ' {"subject":"price.>","type":"price","kind":"state"}]'
    )
    assert list(rules) == [
        Rule("order.*", "order", Kind.EVENT, Overflow.CLOSE),
        Rule("price.>", "price", Kind.STATE, Overflow.GAP),
    ]
    assert rules[0].kind is Kind.EVENT
