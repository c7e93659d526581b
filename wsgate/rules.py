"""Rules: which channels there are, and how each is treated.

A rule gives a type and a kind to every channel its subject matches; the first rule that matches
a channel wins. What no rule matches is no channel. Subjects and patterns are NATS's: "*" is any
one token, ">" at the end is one or more.

A subscription to a pattern is permitted if *one* rule covers it whole. Its channels may still be
of different kinds, since an earlier rule may take some of them: the kind goes by the channel.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Final, TypeVar

import orjson

from wsgate.protocol import RESERVED_TYPES, is_channel_or_pattern

RULES_MAX: Final = 64
HISTORY_EVENTS: Final = 256  # of a channel
HISTORY_EVENTS_MAX: Final = 32_768
HISTORY_BYTES: Final = 16 * 1024 * 1024  # of all channels of a rule
HISTORY_AGE_S: Final = 300.0
# What it is for events if nobody says otherwise, and at most.
_HISTORY: Final[dict[str, tuple[float, float]]] = {
    "history_events": (HISTORY_EVENTS, HISTORY_EVENTS_MAX),
    "history_bytes": (HISTORY_BYTES, 2**40),
    "history_age_s": (HISTORY_AGE_S, 30 * 86_400),
}

_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,63}").fullmatch


class Kind(StrEnum):
    STATE = "state"  # only the latest matters
    EVENT = "event"  # each message matters


class Overflow(StrEnum):
    """What becomes of a connection that is too slow for the events it is owed."""

    GAP = "gap"  # it is told where events are missing
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Rule:
    subject: str
    type: str
    kind: Kind
    overflow: Overflow = Overflow.GAP
    history_events: int = -1  # -1, here and below: as long as nobody says otherwise
    history_bytes: int = -1
    history_age_s: float = -1

    def __post_init__(self) -> None:
        if not is_channel_or_pattern(self.subject):
            raise ValueError(f"subject {self.subject!r} is neither a channel name nor a pattern")
        if not _TYPE(self.type):
            raise ValueError(
                f"type {self.type!r} is not a letter followed by at most 63 letters, digits or _.:-"
            )
        if self.type in RESERVED_TYPES:
            raise ValueError(f"type {self.type!r} is the name of one of the gateway's own messages")
        object.__setattr__(self, "kind", _member(Kind, self.kind))
        object.__setattr__(self, "overflow", _member(Overflow, self.overflow))
        if self.kind is Kind.STATE and self.overflow is Overflow.CLOSE:
            raise ValueError(
                "overflow 'close' is for events: state is never cut off for being slow"
            )
        for name, (default, most) in _HISTORY.items():
            value = getattr(self, name)
            if value == -1:
                object.__setattr__(self, name, default if self.kind is Kind.EVENT else 0)
            elif self.kind is Kind.STATE and value:
                raise ValueError(f"{name} is for events: of state only the latest is remembered")
            elif not 0 <= value <= most:
                raise _out_of_range(name, value)


class Rules:
    """Rules in order, compiled into one regular expression."""

    __slots__ = ("_fullmatch", "_rules")

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = tuple(rules)
        if not 1 <= len(self._rules) <= RULES_MAX:
            raise ValueError(f"{len(self._rules)} rules; allowed are 1 to {RULES_MAX}")
        for place, rule in enumerate(self._rules):
            for earlier in self._rules[:place]:
                if covers(earlier.subject, rule.subject):
                    raise ValueError(
                        f"rule {rule.subject!r} is never reached: {earlier.subject!r} stands before"
                        " it and matches all that it matches"
                    )
        # One group a rule: the number of the group that matched is the rule's place.
        alternatives = "|".join(f"({_expression(rule.subject)})" for rule in self._rules)
        self._fullmatch = re.compile(alternatives).fullmatch

    @classmethod
    def from_json(cls, text: str | bytes) -> Rules:
        """From a JSON array of objects with the fields of Rule; ValueError says what is wrong."""
        return cls.from_entries(orjson.loads(text))

    @classmethod
    def from_entries(cls, entries: object) -> Rules:
        """From what such JSON, or TOML, is in Python; ValueError says what is wrong."""
        if not isinstance(entries, list):
            raise ValueError("rules are an array of objects")
        return cls(_rule(entry) for entry in entries)

    def __len__(self) -> int:
        return len(self._rules)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self._rules)

    def __getitem__(self, place: int) -> Rule:
        return self._rules[place]

    def index(self, channel: str) -> int | None:
        """The place of the first rule that matches the channel."""
        found = self._fullmatch(channel)
        return None if found is None or found.lastindex is None else found.lastindex - 1

    def match(self, channel: str) -> Rule | None:
        """The first rule that matches the channel."""
        place = self.index(channel)
        return None if place is None else self._rules[place]

    def permits(self, pattern: str) -> bool:
        """Whether one rule covers the pattern whole."""
        # The expression works on patterns too: to it "*" and ">" are tokens, see _expression.
        return self._fullmatch(pattern) is not None


def covers(wide: str, narrow: str) -> bool:
    """Whether every name that ``narrow`` matches is matched by ``wide``."""
    wide_tokens = wide.split(".")
    narrow_tokens = narrow.split(".")
    for place, token in enumerate(wide_tokens):
        if place == len(narrow_tokens):
            return False
        if token == ">":
            return True
        # "*" is one token, so it does not cover ">", which may be several.
        if token != narrow_tokens[place] and (token != "*" or narrow_tokens[place] == ">"):
            return False
    return len(wide_tokens) == len(narrow_tokens)


def matches(pattern: str, name: str) -> bool:
    """Whether the pattern, or plain name, matches the channel name."""
    return covers(pattern, name)


def overlaps(a: str, b: str) -> bool:
    """Whether some name is matched by both."""
    a_tokens = a.split(".")
    b_tokens = b.split(".")
    for one, other in zip(a_tokens, b_tokens, strict=False):
        if one == ">" or other == ">":
            return True
        if one != other and one != "*" and other != "*":
            return False
    return len(a_tokens) == len(b_tokens)


def _expression(subject: str) -> str:
    """A regular expression for the names, and the patterns, that the subject covers."""
    tokens = {"*": "[^.>]+", ">": ".+"}
    return r"\.".join(tokens.get(token) or re.escape(token) for token in subject.split("."))


_Choice = TypeVar("_Choice", bound=StrEnum)


def _member(choices: type[_Choice], value: str) -> _Choice:
    try:
        return choices(value)
    except ValueError:
        allowed = " or ".join(repr(choice.value) for choice in choices)
        raise ValueError(f"{choices.__name__.lower()} is {value!r}, not {allowed}") from None


def _out_of_range(name: str, value: float) -> ValueError:
    _, most = _HISTORY[name]
    return ValueError(f"{name} is {value}, not from 0, which keeps nothing, to {most:.0f}")


def _rule(entry: Any) -> Rule:
    if not isinstance(entry, dict):
        raise ValueError(f"a rule is an object, not {entry!r}")
    names = [field.name for field in fields(Rule)]
    for name, value in entry.items():
        if name not in names:
            raise ValueError(f"a rule has no field {name!r}; allowed are {', '.join(names)}")
        if name.startswith("history_"):
            whole = type(value) is int or (name == "history_age_s" and type(value) is float)
            if not whole:
                raise ValueError(f"{name} of a rule is a number, not {value!r}")
            if value < 0:  # -1 is what only a rule that does not have the field may be given
                raise _out_of_range(name, value)
        elif not isinstance(value, str):
            raise ValueError(f"{name} of a rule is a string, not {value!r}")
    for name in names[:3]:
        if name not in entry:
            raise ValueError(f"a rule lacks the field {name!r}: {entry!r}")
    return Rule(**entry)


DEFAULT_RULES: Final = Rules(
    [
        Rule("token.*.update", "token_update", Kind.STATE),
        Rule("token.*.comment", "token_comment", Kind.EVENT),
        Rule("global.trending", "global_update", Kind.STATE),
        Rule("global.>", "global_update", Kind.EVENT),
    ]
)
