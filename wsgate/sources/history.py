"""How much of the past a source tells when it begins, and of which subjects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from wsgate.rules import Kind, Rules, covers, overlaps


@dataclass(frozen=True, slots=True)
class History:
    """What is asked for of the events before a start: the least of the three.

    Of all subjects of a stream together; what is kept of each is the feed's business.
    """

    count: int = 100_000
    bytes: int = 64 * 1024 * 1024
    age_s: float = 300.0

    def less(self) -> History:
        """A quarter of it."""
        return History(self.count // 4, self.bytes // 4, self.age_s / 4)


class Kinds:
    """What the rules say of subjects: events have a history, states a last value."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def of(self, subject: str) -> Kind | None:
        """None: no rule makes a channel of it."""
        rule = self._rules.match(subject)
        return None if rule is None else rule.kind

    def with_events(self, subjects: Iterable[str]) -> tuple[str, ...]:
        """Those among subjects and patterns of which some channel may be of events."""
        return tuple(subject for subject in subjects if self._may_have_events(subject))

    def _may_have_events(self, subject: str) -> bool:
        for rule in self._rules:
            if overlaps(rule.subject, subject):
                if rule.kind is Kind.EVENT:
                    return True
                if covers(rule.subject, subject):
                    return False  # nothing is left for the rules that follow
        return False
