"""From one connection to the next, both open, without a hole and without a repeat.

Owns what the next one said before the one before had said all that it owes. Where both count in the
same epoch the two streams are merged by number. Where they do not, an event may come over both and
nothing tells: what came over the next one meanwhile is a gap then, unless it was nothing.
"""

from __future__ import annotations

from typing import Final

from wsgate.client.interests import Interests
from wsgate.client.items import Gap, Update, Why
from wsgate.client.ledger import Ledger, Track
from wsgate.client.mailbox import EVERYTHING, GAP_NAMES_MAX
from wsgate.client.messages import Entry
from wsgate.protocol import is_pattern

HELD_MAX: Final = 10_000


class Handover:
    """From connection ``before`` to ``connection``."""

    def __init__(self, before: int, connection: int, ledger: Ledger, interests: Interests) -> None:
        self._before = before
        self._connection = connection
        self._ledger = ledger
        self._interests = interests
        self._entries: dict[str, Entry] = {}
        self._patterns: dict[str, None] = {}
        self._fresh: set[str] = set()
        self._held: dict[str, list[Update]] = {}
        self._held_count = 0
        self.waits_for: str | None = None  # one of the names that keep it from being complete
        self._spoken: set[str] = set()  # channels on which the one before has said something
        self._told: dict[str, None] = {}  # where the next one says that something is missing
        self._lost: dict[str, None] = {}  # channels of which more came than can be held

    # what the next one says

    def acknowledged(self, name: str, entry: Entry | None, *, fresh: bool) -> None:
        """``fresh``: it has not been subscribed to before."""
        if fresh:
            self._fresh.add(name)
        if entry is None:
            self._patterns[name] = None
        else:
            self._entries[name] = entry

    def publication(self, update: Update) -> None:
        channel = update.channel
        track = self._ledger.get(channel)
        if track is None or not self._comparable(channel, track):
            self._hold(update, track)
        elif update.seq > track.last:
            if track.event and track.behind(update.prev):
                self._hold(update, track)  # the other one has what is between
            else:
                self._ledger.admit(track, update)

    def gap(self, channels: tuple[str, ...]) -> None:
        """Told at once, since more may come after it; and again after what came before it."""
        self._ledger.gap(channels)
        if self._held_count:
            self._told |= dict.fromkeys(channels)

    # what the one before says

    def caught_up(self, channel: str) -> None:
        """It has said something on the channel: what comes next may be here already."""
        self._spoken.add(channel)
        held = self._held.get(channel)
        track = self._ledger.get(channel) if held else None
        if not held or track is None or not self._comparable(channel, track):
            return
        done = 0
        for update in held:
            if track.behind(update.prev):
                break
            if update.seq > track.last:
                self._ledger.admit(track, update)
            done += 1
        del held[:done]
        self._held_count -= done

    @property
    def complete(self) -> bool:
        """Whether it is proven that the one before owes no event any more."""
        self.waits_for = next((one for one in self._interests.wants if self._owed(one)), None)
        return self.waits_for is None

    def finish(self, *, clean: bool) -> None:
        """The one before has ended; ``clean``: having said all that it owed."""
        comparable = {
            channel
            for channel in self._entries
            if (track := self._ledger.get(channel)) is not None and self._comparable(channel, track)
        }
        for channel, entry in self._entries.items():
            fresh = channel in self._fresh
            self._ledger.join(channel, entry, self._connection, fresh=fresh, covered=clean)
            track = self._ledger.get(channel)
            if track is not None and channel not in comparable:
                track.firm = False  # the one before may have said more than that
        if not clean:
            for pattern in self._patterns:
                want = self._interests.wants.get(pattern)
                if want is not None and want.may_have_events and pattern not in self._fresh:
                    self._ledger.join_pattern(pattern, self._connection)
        for channel, held in self._held.items():
            if held:
                self._release(channel, held, channel in comparable)
        if self._told:
            self._ledger.gap(_few(self._told))
        if self._lost:
            self._ledger.tell(Gap(_few(self._lost), Why.SLOW))

    # within

    def _owed(self, name: str) -> bool:
        """Whether there may be events of this name that only the one before will bring."""
        if not self._interests.wants[name].may_have_events:
            return False
        entry = self._entries.get(name)
        track = self._ledger.get(name)
        if is_pattern(name) or entry is None or track is None:
            return True
        if not self._comparable(name, track):
            return True
        # What was recovered comes over the next one, whole.
        return not entry.recovered and track.behind(entry.seq)

    def _comparable(self, channel: str, track: Track) -> bool:
        """Whether both count this channel alike, so that what they say can be merged."""
        entry = self._entries.get(channel)
        return entry is not None and track.epoch == entry.epoch and track.joined == self._before

    def _hold(self, update: Update, track: Track | None) -> None:
        held = self._held.setdefault(update.channel, [])
        if held and track is not None and not track.event:
            held[-1] = update
        elif self._held_count < HELD_MAX:
            held.append(update)
            self._held_count += 1
        else:
            self._lost[update.channel] = None

    def _release(self, channel: str, held: list[Update], comparable: bool) -> None:
        track = self._ledger.get(channel)
        if track is not None and track.joined != self._connection:
            self._ledger.restart(track, self._connection)
        # What the one before was silent on, the next one cannot repeat.
        new = track is None or not track.event or channel not in self._spoken
        if track is None or comparable or new:
            for update in held:
                self._ledger.publication(update, self._connection)
        else:
            self._ledger.drop(track, channel, held[-1])


def _few(names: dict[str, None]) -> tuple[str, ...]:
    return tuple(names) if len(names) <= GAP_NAMES_MAX else EVERYTHING
