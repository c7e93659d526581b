"""What is subscribed to, on whichever connections there are, and what comes of it.

Owns the interests, the ledger of channels, and the handover while there is one; the session owns
the connections and tells which of them counts.
"""

from __future__ import annotations

from collections.abc import Callable

from wsgate.client.errors import Refused, refused
from wsgate.client.handover import Handover
from wsgate.client.interests import Interest, Interests
from wsgate.client.items import Gap, Update
from wsgate.client.ledger import Ledger
from wsgate.client.link import Link, Sent
from wsgate.client.messages import Entry, Subscribed
from wsgate.protocol import ErrorCode
from wsgate.rules import Rules


class Subscriptions:
    """``links``: the open connections, the one that counts first."""

    def __init__(self, rules: Rules, announce: Callable[[Gap], None], channels_max: int) -> None:
        self.interests = Interests(rules)
        self.ledger = Ledger(self.interests, announce, channels_max)
        self.links: list[Link] = []
        self.handover: Handover | None = None
        self.later: dict[str, None] = {}  # names that the gateway had no room for

    # subscribers

    def add(self, interest: Interest) -> None:
        self.interests.add(interest)
        self.ledger.show(interest)
        self._touch(*interest.names)
        for name in list(interest.pending):
            if self.links and name in self.links[0].acked:
                interest.answered(name)

    def remove(self, interest: Interest) -> None:
        self.interests.remove(interest)
        self.ledger.prune()
        self._touch(*interest.names)

    # connections

    def first(self, link: Link) -> None:
        """There is one, and no other before it."""
        self.links = [link]

    def second(self, link: Link) -> None:
        """It is to take the place of the one that there is."""
        (before,) = self.links
        self._assume(before)
        self.links.append(link)
        self.handover = Handover(before.id, link.id, self.ledger, self.interests)

    def gone(self, link: Link, *, clean: bool) -> None:
        """``clean``: having said all that it owed."""
        if link not in self.links:
            return
        counted = link is self.links[0]
        self.links.remove(link)
        handover, self.handover = self.handover, None
        if not counted:
            return
        self._assume(link)
        if handover is not None:
            handover.finish(clean=clean)

    def again(self) -> None:
        """Ask once more for what there was no room for."""
        later, self.later = self.later, {}
        self._touch(*later)

    # messages

    def publication(self, link: Link, update: Update) -> None:
        if link is self.links[0]:
            self.ledger.publication(update, link.id)
            if self.handover is not None:
                self.handover.caught_up(update.channel)
        elif self.handover is not None:
            self.handover.publication(update)

    def gap(self, link: Link, channels: tuple[str, ...]) -> None:
        if link is self.links[0] or self.handover is None:
            self.ledger.gap(channels)
        else:
            self.handover.gap(channels)

    def subscribed(self, link: Link, command: Sent, reply: Subscribed) -> None:
        entries = reply.entries
        link.epochs.update(one.epoch for one in entries.values() if one is not None)
        # Channels first: what is known of them decides on what is said of their patterns.
        for name, entry in sorted(entries.items(), key=lambda one: one[1] is None):
            # What was unsubscribed from meanwhile is not subscribed to, whatever this says.
            if name not in command.names or link.is_last_word(name, reply.id):
                self._acknowledged(link, name, entry)
        for name, error in reply.errors.items():
            self.refused(link, name, error)
        for name, entry in entries.items():
            if entry is not None and entry.recovered is False:
                self._ask_for_value(link, name)

    def not_subscribed(self, link: Link, command: Sent, error: Refused) -> None:
        """A subscribe was refused whole."""
        if error.code == ErrorCode.NOT_SUPPORTED and command.recovers:
            link.recovers = False
            for name in command.names:
                link.ask_again(name)
            return
        for name in command.names:
            self.refused(link, name, error)

    def refused(self, link: Link, name: str, error: Refused) -> None:
        want = self.interests.wants.get(name)
        if name not in link.acked:
            link.forget(name)
        if want is not None and want.met and error.code == ErrorCode.TOO_MANY_CHANNELS:
            self.later[name] = None  # there was room once, and will be again
            return
        self.interests.refuse(name, error)
        self.ledger.prune()
        self._touch(name)  # elsewhere it may still be subscribed to

    def unsubscribed(self, link: Link, names: tuple[str, ...]) -> None:
        """Unasked: the renewed token permits less."""
        code = ErrorCode.NOT_PERMITTED
        for name in names:
            link.forget(name)
            self.refused(link, name, refused(code, code.message))

    # within

    def _acknowledged(self, link: Link, name: str, entry: Entry | None) -> None:
        want = self.interests.wants.get(name)
        fresh = want is not None and not want.met
        if link is not self.links[0]:
            if self.handover is not None:
                self.handover.acknowledged(name, entry, fresh=fresh)
        elif entry is not None:
            self.ledger.join(name, entry, link.id, fresh=fresh, covered=False)
        elif want is not None and want.may_have_events and not fresh and name not in link.acked:
            self.ledger.join_pattern(name, link.id)
        if want is not None:
            want.met = True
            link.acked.add(name)
            for interest in want.interests:
                interest.answered(name)

    def _ask_for_value(self, link: Link, channel: str) -> None:
        """A state that could not be recovered need not be missed: its value is there to be had."""
        track = self.ledger.get(channel)
        name = self.interests.name_for(channel)
        if track is not None and not track.event and name is not None:
            link.ask_again(name, plain=True)

    def _assume(self, link: Link) -> None:
        if link.epoch is not None:
            self.ledger.assume(link.id, link.epoch)

    def _touch(self, *names: str) -> None:
        """Something may have to be said of these."""
        for link in self.links:
            link.dirty |= dict.fromkeys(names)
