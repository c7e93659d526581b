"""The client without IO: what happens goes in, what is to be done comes out.

Owns the connections: one, or two while it moves from one to the next; when to come back, and with
which token. Time is a number of seconds on any clock that only goes forward; messages go in as they
came; ``actions`` has what is to be done, in order, and is emptied by whoever does it. Updates and
gaps go straight into mailboxes.

A connection's life, by the calls: ``Dial`` is asked for; then ``opened``, or one of ``refused`` and
``failed``; then ``received`` any number of times; then ``closed``, once, unless ``Hang`` was asked
for before. Whatever is said of a connection after that is not heard.
"""

from __future__ import annotations

from random import Random
from typing import Final

from wsgate.client import wire
from wsgate.client.actions import Action, Announce, AskToken, Dial, Finish, Hang, Say, Timing
from wsgate.client.credentials import Credentials, Way
from wsgate.client.errors import Closed, HandshakeRefused, Left, Refused, closed_by_gateway
from wsgate.client.interests import Interest
from wsgate.client.items import Gap, Update
from wsgate.client.ledger import CHANNELS_MAX
from wsgate.client.link import Done, Link, Sent
from wsgate.client.messages import (
    Authorized,
    Failed,
    Feed,
    Message,
    Missing,
    Paused,
    Pong,
    Reconnect,
    Subscribed,
    Unsubscribed,
)
from wsgate.client.retry import ABNORMAL, Retry, comes_back, status_passes
from wsgate.client.subscriptions import Subscriptions
from wsgate.protocol import CloseCode, FeedState
from wsgate.rules import DEFAULT_RULES, Rules

# Pings, one after the other: a reply overtakes publications that wait, but not those that waited
# when the one before it was sent.
FENCES: Final = 2
FENCE: Final = "fence"
OVERLAP: Final = "overlap"


class Session:
    """``begin`` it; then tell it what happens, and do its ``actions`` after each."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        random: Random,
        rules: Rules = DEFAULT_RULES,
        timing: Timing | None = None,
        channels_max: int = CHANNELS_MAX,
    ) -> None:
        self.actions: list[Action] = []
        self.end: Closed | None = None
        self.feed: FeedState = "live"
        self.paused = False
        self._credentials = credentials
        self._timing = timing or Timing()
        self._retry = Retry(random, self._timing.settled_s)
        self._subscriptions = Subscriptions(rules, self._announce, channels_max)
        self._ids = 0
        self._current: Link | None = None  # the one whose publications count
        self._next: Link | None = None  # on its way, or taking over
        self._dial_at: float | None = None
        self._leave_by: float | None = None  # the current one, whatever it may owe
        self._again_at: float | None = None  # to ask for what there was no room for
        self._renew_at: float | None = None
        self._overlaps = 0  # pongs that the current one owes, to show that it outlived a reply
        self._fences = 0  # pongs that the next one owes, before it takes the place of an ended one
        self._clean = False  # ... which had said all that it owed
        self._asking = False  # somebody is asked for a token
        self._dial_waits = False  # ... and a connection waits for it
        self._unix_ahead_s = 0.0  # of the session's clock
        self._pausing: list[tuple[bool, Done]] = []

    @property
    def connected(self) -> bool:
        return self._current is not None

    # what the program wants

    def begin(self, now: float) -> None:
        self._dial(now)

    def subscribe(self, interest: Interest, now: float) -> None:
        if self.end is not None:
            raise self.end
        self._subscriptions.add(interest)
        self._speak(now)

    def unsubscribe(self, interest: Interest, now: float) -> None:
        self._subscriptions.remove(interest)
        self._speak(now)

    def pause(self, paused: bool, done: Done, now: float) -> None:
        """Ask for publications to be held back, or not any more."""
        if self.end is not None:
            raise self.end
        unchanged = paused is self.paused and not self._pausing
        self.paused = paused
        if unchanged or self._current is None:  # the next connection is told at once
            done(None)
            return
        self._pausing.append((paused, done))
        self._speak(now)

    def leave(self, why: Closed | None = None) -> None:
        """For good."""
        self._finish(why or Left())

    # what connections do

    def opened(self, connection: int, subprotocol: str | None, now: float) -> None:
        link = self._next
        if link is None or link.id != connection:
            return
        token, way = self._credentials.token, self._credentials.way
        link.opened(wire.decoder_of(subprotocol), self._subscriptions.interests.wants, now)
        if way is Way.MESSAGE and token is not None:
            self._say(link, link.auth(token))
        elif way is Way.TICKET:
            self._credentials.spent()
        if self._current is None:
            self._subscriptions.first(link)
            self._take_over(link)
        else:
            self._subscriptions.second(link)
        self._speak(now)

    def refused(self, connection: int, status: int, retry_after_s: float, now: float) -> None:
        """The upgrade was answered with something else."""
        if self._next is not None and self._next.id == connection:
            self._next = None
            if status_passes(status):
                self._come_back(now, retry_after_s)
            else:
                self._finish(HandshakeRefused(status))

    def failed(self, connection: int, now: float) -> None:
        """There was no answer to the upgrade."""
        if self._next is not None and self._next.id == connection:
            self._next = None
            self._come_back(now)

    def received(self, connection: int, message: str | bytes, now: float) -> bool:
        """Whether there may be something to do now, or another time to wake at."""
        link = self._link(connection)
        if link is None:
            return False
        link.heard_at = now
        link.pinged_at = None
        try:
            item = link.decoder.decode(message)
        except wire.Undecodable:
            self._give_up(link, CloseCode.PROTOCOL_ERROR, now)
            return True
        if isinstance(item, Update):
            self._subscriptions.publication(link, item)
            handover = self._subscriptions.handover
            if handover is not None and handover.waits_for == item.channel:
                self._leave_if_complete(now)
            return bool(self.actions)
        if item is not None:
            self._control(link, item, now)
        return True

    def closed(self, connection: int, code: int, reason: str, now: float) -> None:
        link = self._link(connection)
        if link is None:
            return
        final = not comes_back(code)
        if code == CloseCode.TOKEN_EXPIRED:
            self._credentials.spent()
            final = not self._credentials.renewable
        elif code == CloseCode.AUTH_TIMEOUT:
            final = self._credentials.token is None and not self._credentials.renewable
        if final:
            self._finish(closed_by_gateway(code, reason))
        else:
            self._lost(link, code, now)

    # what time and others do

    def token_given(self, token: str, now: float, unix_now: float) -> None:
        self._asking = False
        self._unix_ahead_s = unix_now - now
        self._credentials.given(token, now, unix_now)
        self._plan_renewal(now)
        if self._dial_waits:
            self._dial_waits = False
            self._dial(now)
        if self._credentials.way is not Way.TICKET:
            for link in self._open():
                self._say(link, link.auth(token))

    def token_missing(self, now: float) -> None:
        """Who was asked has none just now."""
        self._asking = False
        if self._dial_waits:
            self._dial_waits = False
            self._come_back(now)
        else:
            self._renew_at = now + self._timing.renewal_retry_s

    def wake_at(self) -> float | None:
        """When to call ``tick``, if nothing happens before."""
        times = [self._dial_at, self._leave_by, self._again_at]
        if self._current is not None:
            times += [self._renew_at, self._current.leave_at]
        for link in self._open():
            times += [link.command_at, self._alive_until(link)]
        return min((one for one in times if one is not None), default=None)

    def tick(self, now: float) -> None:
        """Do what is due. May be called at any time."""
        if self.end is not None:
            return
        for link in self._open():
            if now >= self._alive_until(link):
                if link.pinged_at is None:
                    self._say(link, link.ping(now))
                else:
                    self._give_up(link, ABNORMAL, now)
        if self._leave_by is not None and now >= self._leave_by:
            self._leave(now, clean=False)
        if self._again_at is not None and now >= self._again_at:
            self._again_at = None
            self._subscriptions.again()
        current = self._current
        if current is not None and current.leave_at is not None and now >= current.leave_at:
            current.leave_at = None
            self._hand_over(now - current.opened_at, now)
        if self._dial_at is not None and now >= self._dial_at:
            self._dial(now)
        if current is not None and self._renew_at is not None and now >= self._renew_at:
            self._renew_at = None
            self._ask_token()
        self._speak(now)

    # messages

    def _control(self, link: Link, message: Message, now: float) -> None:
        match message:
            case Subscribed(id):
                self._subscribed(link, link.reply(id), message, now)
            case Unsubscribed(id, channels):
                if link.reply(id) is None:
                    self._subscriptions.unsubscribed(link, channels)
            case Failed(id, error):
                self._failed(link, link.reply(id), error, now)
            case Pong(id):
                self._pong(link, link.reply(id), now)
            case Paused(id, paused):
                link.reply(id)
                self._is_paused(paused)
            case Authorized(id, expires):
                link.reply(id)
                if expires is not None:
                    self._credentials.expires_at = expires - self._unix_ahead_s
                    self._plan_renewal(now)
            case Missing(channels):
                self._subscriptions.gap(link, channels)
            case Feed(state):
                link.feed = state
                if link is self._current:
                    self._feed_is(state)
            case Reconnect(after_s):
                link.leave_at = now + after_s
        self._leave_if_complete(now)
        self._speak(now)

    def _subscribed(self, link: Link, command: Sent | None, reply: Subscribed, now: float) -> None:
        if command is None:
            return
        self._subscriptions.subscribed(link, command, reply)
        self._plan_again(now)
        before = self._current
        if link is self._next and before is not None and before.open:
            self._overlaps += 1
            self._say(before, before.ping(now, OVERLAP))

    def _failed(self, link: Link, command: Sent | None, error: Refused, now: float) -> None:
        match command:
            case Sent("pause" | "resume"):
                link.paused = self.paused = False
                waiting, self._pausing = self._pausing, []
                for _, done in waiting:
                    done(error)
            case Sent("auth"):
                self._renew_at = now + self._timing.renewal_retry_s
            case Sent("subscribe"):
                self._subscriptions.not_subscribed(link, command, error)
                self._plan_again(now)

    def _pong(self, link: Link, command: Sent | None, now: float) -> None:
        kind = None if command is None else command.kind
        if kind == OVERLAP:
            self._overlaps -= 1
        elif kind == FENCE and link is self._next:
            self._fences -= 1
            if self._fences:
                self._say(link, link.ping(now, FENCE))
            else:
                self._move()

    def _is_paused(self, paused: bool) -> None:
        waiting, self._pausing = self._pausing, []
        for wanted, done in waiting:
            if wanted is paused:
                done(None)
            else:
                self._pausing.append((wanted, done))

    # connections come and go

    def _dial(self, now: float) -> None:
        self._dial_at = None
        if self.end is not None or self._next is not None:
            return
        if self._renew_at is not None and now >= self._renew_at:
            self._credentials.spent()  # it would not last
        if self._credentials.needed:
            self._dial_waits = True
            self._ask_token()
            return
        self._ids += 1
        self._next = Link(self._ids, now)
        self.actions.append(Dial(self._ids, self._credentials.token, self._credentials.way))

    def _take_over(self, link: Link) -> None:
        """From now on its publications count."""
        self._current = link
        self._next = self._leave_by = None
        self._fences = self._overlaps = 0
        self._feed_is(link.feed)

    def _leave_if_complete(self, now: float) -> None:
        link, handover = self._next, self._subscriptions.handover
        if link is None or handover is None or not link.settled or self._fences:
            return
        if self._leave_by is None:
            self._leave_by = now + self._timing.handover_s
        if handover.complete:
            self._leave(now, clean=True)

    def _leave(self, now: float, *, clean: bool) -> None:
        """The current one, for the next."""
        if self._current is not None and self._current.open:
            self._hang(self._current, CloseCode.NORMAL)
            self._ended(now, clean=clean)

    def _ended(self, now: float, *, clean: bool) -> None:
        """The current one says nothing more, and the next is open.

        What it said may be under way from the next one too. Numbers tell, but where they cannot be
        compared: there what comes before a reply that was asked for now counts as said by both.
        """
        current, link, handover = self._current, self._next, self._subscriptions.handover
        if current is None or link is None or handover is None:
            return
        current.open = False
        current.leave_at = self._leave_by = None
        self._clean = clean
        if handover.complete:
            self._move()
        else:
            self._fences = FENCES
            self._say(link, link.ping(now, FENCE))

    def _move(self) -> None:
        """To the next connection, from one that has ended."""
        if self._current is not None and self._next is not None:
            self._subscriptions.gone(self._current, clean=self._clean)
            self._take_over(self._next)

    def _lost(self, link: Link, code: int, now: float) -> None:
        self._retry.ended(now - link.opened_at if link.open else 0.0)
        if link is self._current and self._next is not None and self._next.open:
            # A gateway that stops says first what it owes.
            owes_nothing = code == CloseCode.SERVICE_RESTART and link.settled
            self._ended(now, clean=owes_nothing and self._next.settled and not self._overlaps)
            return
        self._subscriptions.gone(link, clean=False)
        if link is self._next:
            self._next = self._leave_by = None
            self._overlaps = self._fences = 0
            if self._current is None or self._current.open:
                self._come_back(now)
                return
            self._subscriptions.gone(self._current, clean=False)
        self._current = None
        waiting, self._pausing = self._pausing, []
        for _, done in waiting:
            done(None)
        if self._next is None and not self._dial_waits and self._dial_at is None:
            self._come_back(now)

    def _give_up(self, link: Link, code: int, now: float) -> None:
        self._hang(link, code)
        self._lost(link, ABNORMAL, now)

    def _come_back(self, now: float, retry_after_s: float = 0.0) -> None:
        self._dial_at = now + self._retry.delay_s(retry_after_s)

    def _hand_over(self, lived_s: float, now: float) -> None:
        """To another connection, unless one is to come anyway."""
        if self._next is None and self._dial_at is None and not self._dial_waits:
            self._dial_at = now + self._retry.handover_s(lived_s)

    def _finish(self, error: Closed) -> None:
        if self.end is not None:
            return
        self.end = error
        for link in (self._current, self._next):
            if link is not None:
                self._hang(link, CloseCode.NORMAL if link.open else ABNORMAL)  # or on its way
        self._subscriptions.links.clear()
        self._subscriptions.handover = self._current = self._next = None
        self._dial_at = self._renew_at = self._leave_by = self._again_at = None
        self.actions.append(Finish(error))

    # within

    def _speak(self, now: float) -> None:
        subscriptions = self._subscriptions
        for link in self._open():
            for text in link.commands(
                subscriptions.interests, subscriptions.ledger.positions, self.paused, now
            ):
                self._say(link, text)

    def _say(self, link: Link, text: str) -> None:
        self.actions.append(Say(link.id, text))

    def _hang(self, link: Link, code: int) -> None:
        self.actions.append(Hang(link.id, code))

    def _announce(self, news: Gap | FeedState) -> None:
        self.actions.append(Announce(news))

    def _feed_is(self, state: FeedState) -> None:
        if state != self.feed:
            self.feed = state
            self._announce(state)

    def _ask_token(self) -> None:
        if not self._asking:
            self._asking = True
            self.actions.append(AskToken())

    def _plan_renewal(self, now: float) -> None:
        renew_at = self._credentials.renew_at(now)
        if renew_at is not None:  # an issuer whose tokens are old already is not asked without end
            renew_at = max(renew_at, now + self._timing.renewal_retry_s)
        self._renew_at = renew_at

    def _plan_again(self, now: float) -> None:
        if self._subscriptions.later and self._again_at is None:
            self._again_at = now + self._retry.delay_s()

    def _alive_until(self, link: Link) -> float:
        if link.pinged_at is not None:
            return link.pinged_at + self._timing.patience_s
        return link.heard_at + self._timing.silence_s

    def _open(self) -> list[Link]:
        return [link for link in self._subscriptions.links if link.open]

    def _link(self, connection: int) -> Link | None:
        for link in (self._current, self._next):
            if link is not None and link.id == connection:
                return link
        return None
