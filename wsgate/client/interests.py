"""Who wants what: the subscribers of this client, by the names they gave.

Owns the names that have to be subscribed to, each once, and the way from a channel to mailboxes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from wsgate.client.errors import Refused
from wsgate.client.items import Gap
from wsgate.client.mailbox import Mailbox
from wsgate.protocol import is_pattern
from wsgate.rules import Kind, Rule, Rules, covers, matches, overlaps


class Interest:
    """One subscriber: the names it gave, and where its items go."""

    __slots__ = ("errors", "mailbox", "max_rate", "names", "pending", "settled")

    def __init__(
        self,
        names: Iterable[str],
        max_rate: float | None,
        mailbox: Mailbox,
        settled: Callable[[], None],
    ) -> None:
        self.names = tuple(dict.fromkeys(names))
        self.max_rate = max_rate
        self.mailbox = mailbox
        self.settled = settled  # called when all names are answered, and when one is refused later
        self.pending = set(self.names)
        self.errors: dict[str, Refused] = {}

    def answered(self, name: str, error: Refused | None = None) -> None:
        self.pending.discard(name)
        if error is None:
            self.errors.pop(name, None)
        else:
            self.errors[name] = error
        if not self.pending:
            self.settled()


class Want:
    """One name, for all who want it."""

    __slots__ = ("interests", "may_have_events", "met")

    def __init__(self, may_have_events: bool) -> None:
        self.interests: list[Interest] = []
        self.may_have_events = may_have_events
        self.met = False  # has been subscribed to: what is published from then on is due

    @property
    def max_rate(self) -> float | None:
        """The fastest that somebody wants."""
        fastest = 0.0
        for interest in self.interests:
            if interest.max_rate is None:
                return None
            fastest = max(fastest, interest.max_rate)
        return fastest


class Interests:
    """``generation`` changes whenever ways from channels to mailboxes do."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._patterns: list[str] = []
        self.wants: dict[str, Want] = {}
        self.generation = 0

    def add(self, interest: Interest) -> None:
        for name in interest.names:
            want = self.wants.get(name)
            if want is None:
                want = self.wants[name] = Want(self._may_have_events(name))
            want.interests.append(interest)
        self._changed()

    def remove(self, interest: Interest) -> None:
        for name in interest.names:
            self._drop(name, interest)
        self._changed()

    def refuse(self, name: str, error: Refused) -> None:
        """Nobody gets it; whoever wanted it is told."""
        want = self.wants.pop(name, None)
        if want is None:
            return
        self._changed()
        for interest in want.interests:
            interest.answered(name, error)

    def all(self) -> list[Interest]:
        """Each once."""
        return list(dict.fromkeys(one for want in self.wants.values() for one in want.interests))

    def name_for(self, channel: str) -> str | None:
        """The name through which the channel is subscribed to."""
        if channel in self.wants:
            return channel
        return next((one for one in self._patterns if matches(one, channel)), None)

    def route(self, channel: str) -> tuple[Mailbox, ...]:
        """Whose the publications of a channel are."""
        names = [one for one in self._patterns if matches(one, channel)]
        if channel in self.wants:
            names.append(channel)
        found = (one.mailbox for name in names for one in self.wants[name].interests)
        return tuple(dict.fromkeys(found))

    def tell(self, gap: Gap) -> bool:
        """Put the gap before all whom it may concern; False if that is nobody."""
        concerned = dict.fromkeys(
            interest.mailbox
            for name, want in self.wants.items()
            if any(overlaps(name, missing) for missing in gap.channels)
            for interest in want.interests
        )
        for mailbox in concerned:
            mailbox.put_gap(gap)
        return bool(concerned)

    def kind(self, channel: str) -> Kind:
        """Without a rule an event: to take a state for an event tells of gaps that are none."""
        rule = self._rules.match(channel)
        return Kind.EVENT if rule is None else rule.kind

    def _drop(self, name: str, interest: Interest) -> None:
        want = self.wants.get(name)
        if want is not None and interest in want.interests:
            want.interests.remove(interest)
            if not want.interests:
                del self.wants[name]

    def _changed(self) -> None:
        self.generation += 1
        self._patterns = [name for name in self.wants if is_pattern(name)]

    def _may_have_events(self, name: str) -> bool:
        if not is_pattern(name):
            return self.kind(name) is Kind.EVENT
        for rule in self._overlapping(name):
            if rule.kind is Kind.EVENT:
                return True
            if covers(rule.subject, name):
                return False
        return True

    def _overlapping(self, pattern: str) -> Iterator[Rule]:
        return (rule for rule in self._rules if overlaps(rule.subject, pattern))
