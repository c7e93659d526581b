"""How far each channel has come: what is new, what is a repeat, and where something is missing.

Owns a track of each channel: its position, and of a state its latest update. Positions of two
connections can be compared only if their epochs are the same, and a publication does not name its
epoch: so a track is *joined* to the connection whose numbers it has, and is joined anew to the
next, by what that says of the channel or else from nothing.

Invariant: an update is delivered if its seq lies above ``last``. All events up to ``known`` were
delivered, or a gap was told since the last that was.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from wsgate.client.interests import Interest, Interests
from wsgate.client.items import Gap, Update, Why
from wsgate.client.mailbox import Mailbox
from wsgate.client.messages import Entry
from wsgate.client.wire import Positions
from wsgate.protocol import is_pattern
from wsgate.rules import Kind, matches

CHANNELS_MAX: Final = 100_000
TOLD_MAX: Final = 64
UNKNOWN: Final = 1 << 63  # above every seq: nothing can be said to be missing


class Track:
    """One channel."""

    __slots__ = (
        "epoch",
        "event",
        "firm",
        "generation",
        "joined",
        "known",
        "last",
        "latest",
        "targets",
        "told",
    )

    def __init__(self, event: bool, joined: int) -> None:
        self.event = event
        self.joined = joined  # the connection whose numbers these are
        self.epoch: str | None = None
        self.last = 0
        self.known = UNKNOWN
        self.firm = True  # the position is no less than what was delivered
        self.latest: Update | None = None
        self.told = 0  # how many gaps the gateway had told of when it was last heard of
        self.targets: tuple[Mailbox, ...] = ()
        self.generation = -1

    def advance(self, seq: int) -> None:
        """Up to here nothing is missing unsaid."""
        if self.behind(seq):
            self.known = seq

    def behind(self, seq: int) -> bool:
        """Whether something up to there may be missing and unsaid."""
        return seq > self.known or self.known == UNKNOWN

    @property
    def position(self) -> int:
        """What to recover from; 0 for none. The value of a state may be owed yet, an event not."""
        if not self.firm:
            return 0
        return self.known if self.event and self.known != UNKNOWN else self.last


class Ledger:
    """``announce`` is called with each gap that concerns somebody."""

    def __init__(
        self, interests: Interests, announce: Callable[[Gap], None], channels_max: int
    ) -> None:
        self._interests = interests
        self._announce = announce
        self._channels_max = channels_max
        self._tracks: OrderedDict[str, Track] = OrderedDict()
        self._told: deque[tuple[int, tuple[str, ...]]] = deque(maxlen=TOLD_MAX)
        self._told_count = 0
        self._forgot = False  # some channel of a pattern, for want of room

    def __len__(self) -> int:
        return len(self._tracks)

    def get(self, channel: str) -> Track | None:
        return self._tracks.get(channel)

    # publications

    def publication(self, update: Update, connection: int) -> None:
        """One that came over the connection that counts."""
        track = self._tracks.get(update.channel)
        if track is None:
            track = self._meet(update.channel, connection)
        elif track.joined != connection:
            self.restart(track, connection)
        if update.seq > track.last:
            self.admit(track, update)

    def admit(self, track: Track, update: Update) -> None:
        """One whose seq is above the last, and counted like it."""
        seq = update.seq
        if track.generation != self._interests.generation:
            self._route(track, update.channel)
        if update.prev > track.known and track.event and not self._was_told(track, update.channel):
            self._missing(track, update.channel, Why.HOLE)
        track.last = track.known = seq
        track.firm = True
        track.told = self._told_count
        if track.event:
            for mailbox in track.targets:
                mailbox.put_event(update)
        else:
            track.latest = update
            for mailbox in track.targets:
                mailbox.put_state(update)

    def gap(self, channels: tuple[str, ...]) -> None:
        """The gateway says that something may be missing there."""
        self._told_count += 1
        self._told.append((self._told_count, channels))
        self.tell(Gap(channels, Why.TOLD))

    def tell(self, gap: Gap) -> None:
        if self._interests.tell(gap):
            self._announce(gap)

    # connections

    def join(
        self, channel: str, entry: Entry, connection: int, *, fresh: bool, covered: bool
    ) -> None:
        """Take over what a connection says of a channel.

        ``fresh``: nothing before this moment was wanted of it by its own name. ``covered``: all
        that was published before the connection said so has been delivered already.
        """
        track = self._tracks.get(channel)
        if track is None:
            track = self._meet(channel, connection)
            if track.event and not fresh and not covered:
                # Granted once, and nothing remembered: as by a connection that never counted.
                self._unrecovered(track, channel)
                track.advance(entry.seq)
        if track.joined == connection:
            track.epoch = entry.epoch
            # Events that waited for another subscription may come after the reply: then its
            # number does not say that all before it are here.
            if fresh and not self._by_pattern(channel):
                track.advance(entry.seq)
            return
        track.joined = connection
        same = track.epoch == entry.epoch
        track.epoch = entry.epoch
        if not same:
            if track.event and not covered:
                self._unrecovered(track, channel)
            track.last = 0
            track.known = entry.seq
            return
        if entry.recovered:
            return
        if track.event:
            unproven = track.known == UNKNOWN and not covered
            if unproven or entry.seq > track.known:
                self._unrecovered(track, channel)
        track.advance(entry.seq)

    def join_pattern(self, pattern: str, connection: int) -> None:
        """A pattern is subscribed to again after a cut: what of it cannot be proven to be whole."""
        whole = not self._forgot and all(
            track.joined == connection or not track.event or not matches(pattern, channel)
            for channel, track in self._tracks.items()
        )
        self.tell(Gap((pattern,), Why.UNSEEN if whole else Why.UNRECOVERED))

    def restart(self, track: Track, connection: int) -> None:
        """The connection says nothing of this channel's numbers: they begin with what comes."""
        track.joined = connection
        track.epoch = None
        track.last = 0
        track.known = UNKNOWN

    def drop(self, track: Track, channel: str, upto: Update) -> None:
        """Events that may be repeats, and cannot be told from them, are a gap instead."""
        self._unrecovered(track, channel)
        track.last = track.known = upto.seq
        track.firm = False

    def assume(self, connection: int, epoch: str) -> None:
        """All channels that the connection named an epoch of have this one: so have the others.

        A guess, for channels that only a pattern brought. It is safe, since the gateway compares it
        with the real one before it recovers anything.
        """
        for track in self._tracks.values():
            if track.joined == connection and track.epoch is None:
                track.epoch = epoch

    def positions(self) -> Positions:
        """What to recover: by name that is subscribed to, events before states."""
        found: Positions = {}
        for events in (True, False):
            for channel, track in self._tracks.items():
                if track.event is events and track.epoch is not None and track.position:
                    name = self._interests.name_for(channel)
                    if name is not None:
                        found.setdefault(name, {})[channel] = (track.epoch, track.position)
        return found

    # subscribers

    def show(self, interest: Interest) -> None:
        """Give a new subscriber the states that others have already."""
        patterns = [name for name in interest.names if is_pattern(name)]
        for name in interest.names:
            track = self._tracks.get(name)
            if track is not None and track.latest is not None:
                interest.mailbox.put_state(track.latest)
        if patterns:
            for channel, track in self._tracks.items():
                if track.latest is not None and any(matches(one, channel) for one in patterns):
                    interest.mailbox.put_state(track.latest)

    def prune(self) -> None:
        """Forget what nobody wants any more."""
        for channel in [one for one in self._tracks if self._interests.name_for(one) is None]:
            del self._tracks[channel]

    # within

    def _meet(self, channel: str, connection: int) -> Track:
        track = Track(self._interests.kind(channel) is Kind.EVENT, connection)
        self._route(track, channel)
        if track.targets:  # else somebody has just lost interest
            track.told = self._told_count
            self._tracks[channel] = track
            self._make_room()
        return track

    def _make_room(self) -> None:
        for _ in range(len(self._interests.wants) + 1):
            if len(self._tracks) <= self._channels_max:
                return
            channel, track = self._tracks.popitem(last=False)
            if channel in self._interests.wants:
                self._tracks[channel] = track
            else:
                self._forgot = self._forgot or track.event

    def _route(self, track: Track, channel: str) -> None:
        track.targets = self._interests.route(channel)
        track.generation = self._interests.generation

    def _by_pattern(self, channel: str) -> bool:
        return any(is_pattern(name) and matches(name, channel) for name in self._interests.wants)

    def _unrecovered(self, track: Track, channel: str) -> None:
        self._route(track, channel)
        self._missing(track, channel, Why.UNRECOVERED)

    def _missing(self, track: Track, channel: str, why: Why) -> None:
        gap = Gap((channel,), why)
        for mailbox in track.targets:
            mailbox.put_gap(gap)
        if track.targets:
            self._announce(gap)

    def _was_told(self, track: Track, channel: str) -> bool:
        return any(
            count > track.told and any(matches(one, channel) for one in channels)
            for count, channels in self._told
        )
