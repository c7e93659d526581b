"""One connection: what has been said on it, what is to be said, and what it has answered.

Commands are not queued but made when they can be sent, from what is wanted then and what the
gateway knows already: so they are as few as fit, and nothing piles up while it is away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple, TypeAlias

from orjson import dumps

from wsgate.client import wire
from wsgate.client.errors import Refused
from wsgate.client.interests import Interests
from wsgate.client.wire import Decoder, Positions
from wsgate.protocol import COMMAND_BYTES_MAX, COMMAND_CHANNELS_MAX, FeedState

# Half of what a gateway allows unless its operator says otherwise: 20 a second and 200 at once.
COMMANDS_BURST: Final = 100
COMMANDS_PER_S: Final = 10.0
COMMAND_HEAD_BYTES: Final = 128  # of a subscribe, without names and positions

Done: TypeAlias = Callable[[Refused | None], None]


class Sent(NamedTuple):
    """A command that has no reply yet."""

    kind: str
    names: tuple[str, ...] = ()
    recovers: bool = False


class Allowance:
    """How many commands may be sent."""

    __slots__ = ("_at", "_left")

    def __init__(self, now: float) -> None:
        self._at = now
        self._left = float(COMMANDS_BURST)

    def take(self, now: float) -> bool:
        self._left = min(COMMANDS_BURST, self._left + (now - self._at) * COMMANDS_PER_S)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    @property
    def next_at(self) -> float:
        return self._at + max(0.0, 1.0 - self._left) / COMMANDS_PER_S


class Link:
    """``id`` is never used again. It is open once the upgrade has been answered."""

    def __init__(self, id: int, now: float) -> None:
        self.id = id
        self.open = False
        self.decoder: Decoder = wire.JsonDecoder()
        self.opened_at = now
        self.heard_at = now
        self.pinged_at: float | None = None
        self.leave_at: float | None = None  # the gateway wants this client to connect anew
        self.feed: FeedState = "live"
        self.epochs: set[str] = set()
        self.recovers = True  # until the gateway says that it cannot
        self.paused = False
        self.dirty: dict[str, None] = {}  # names of which it may have to be told something
        self.plain: set[str] = set()  # names to be asked for their values, wherever they stand
        self.acked: set[str] = set()
        self.inflight: dict[int, Sent] = {}
        self.starved = False  # something is to be said, and may not be yet
        # Names that it was asked for: at which rate, and in which command.
        self._said: dict[str, tuple[float | None, int]] = {}
        self._allowance = Allowance(now)
        self._ids = 0

    def opened(self, decoder: Decoder, wanted: Iterable[str], now: float) -> None:
        self.open = True
        self.decoder = decoder
        self.opened_at = self.heard_at = now
        self._allowance = Allowance(now)
        self.dirty = dict.fromkeys(wanted)

    @property
    def epoch(self) -> str | None:
        """The one in which all channels count that it has named one of."""
        return next(iter(self.epochs)) if len(self.epochs) == 1 else None

    @property
    def settled(self) -> bool:
        """All that is wanted has been asked for, and answered."""
        return not self.dirty and not any(one.kind == "subscribe" for one in self.inflight.values())

    @property
    def command_at(self) -> float | None:
        return self._allowance.next_at if self.starved else None

    def forget(self, name: str) -> None:
        """It is not subscribed to this."""
        self._said.pop(name, None)
        self.acked.discard(name)

    def ask_again(self, name: str, *, plain: bool = False) -> None:
        """``plain``: without positions, so that the last values come."""
        self._said.pop(name, None)
        self.dirty[name] = None
        if plain:
            self.plain.add(name)

    def is_last_word(self, name: str, command: int | None) -> bool:
        """Whether nothing has been said of this name since."""
        said = self._said.get(name)
        return said is not None and said[1] == command

    def reply(self, id: int | None) -> Sent | None:
        """What a message with this id is the reply to, if it is one."""
        return None if id is None else self.inflight.pop(id, None)

    # commands

    def ping(self, now: float, kind: str = "ping") -> str:
        """``kind``: what the reply is to be known by."""
        self.pinged_at = now
        return wire.bare("ping", self._sent(Sent(kind)))

    def auth(self, token: str) -> str:
        return wire.auth(self._sent(Sent("auth")), token)

    def commands(
        self, interests: Interests, positions: Callable[[], Positions], paused: bool, now: float
    ) -> Iterator[str]:
        """What may be said now, of all that has to be."""
        self.starved = False
        if paused is not self.paused:
            if not self._may(now):
                return
            self.paused = paused
            kind = "pause" if paused else "resume"
            yield wire.bare(kind, self._sent(Sent(kind)))
        if not self.dirty:
            return
        gone, asked = self._to_say(interests)
        for some, _ in packed(gone, {}):
            if not self._may(now):
                return
            for name in some:
                self.forget(name)
                self.dirty.pop(name, None)
            yield wire.unsubscribe(self._sent(Sent("unsubscribe", some)), some)
        found = positions() if asked and self.recovers else {}
        for max_rate, names in asked.items():
            wanted = {name: found.get(name, {}) for name in names if name not in self.plain}
            for some, recover in packed(names, wanted):
                if not self._may(now):
                    return
                id = self._sent(Sent("subscribe", some, bool(recover)))
                for name in some:
                    self._said[name] = (max_rate, id)
                    self.dirty.pop(name, None)
                    self.plain.discard(name)
                yield wire.subscribe(id, some, max_rate, recover)

    def _to_say(self, interests: Interests) -> tuple[list[str], dict[float | None, list[str]]]:
        """Names that are not wanted any more, and those that are, by rate."""
        gone: list[str] = []
        asked: dict[float | None, list[str]] = {}
        for name in list(self.dirty):
            want = interests.wants.get(name)
            if want is None and name in self._said:
                gone.append(name)
            elif want is not None and not self._says(name, want.max_rate):
                asked.setdefault(want.max_rate, []).append(name)
            else:
                del self.dirty[name]
        return gone, asked

    def _says(self, name: str, max_rate: float | None) -> bool:
        said = self._said.get(name)
        return said is not None and said[0] == max_rate

    def _may(self, now: float) -> bool:
        self.starved = not self._allowance.take(now)
        return not self.starved

    def _sent(self, command: Sent) -> int:
        self._ids += 1
        self.inflight[self._ids] = command
        return self._ids


def packed(
    names: Iterable[str], positions: Positions
) -> Iterator[tuple[tuple[str, ...], dict[str, tuple[str, int]]]]:
    """Names, and positions of their channels, in portions that fit a command.

    The positions of one name go with it: were some to follow later, the channels of a pattern would
    be live before they are recovered. So of a name only as many are taken as fit, the first ones.
    """
    some: list[str] = []
    recover: dict[str, tuple[str, int]] = {}
    room = left = COMMAND_BYTES_MAX - COMMAND_HEAD_BYTES
    for name in names:
        name_bytes = len(dumps(name)) + wire.NAME_BYTES
        its: dict[str, tuple[str, int]] = {}
        its_bytes = name_bytes
        for channel, (epoch, seq) in positions.get(name, {}).items():
            entry_bytes = len(channel) + len(dumps(epoch)) + wire.ENTRY_BYTES
            if its_bytes + entry_bytes > room:
                break
            its[channel] = (epoch, seq)
            its_bytes += entry_bytes
        if some and (its_bytes > left or len(some) == COMMAND_CHANNELS_MAX):
            yield tuple(some), recover
            some, recover, left = [], {}, room
        some.append(name)
        recover |= its
        left -= its_bytes
    if some:
        yield tuple(some), recover
