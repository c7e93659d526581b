"""A bounded queue towards one subscriber, however slowly it reads.

Owns what was received and not read yet. Of a state channel that is the latest update alone; events
are kept up to a number, and past it a gap stands in the place of those that follow.
Invariant: at most ``events_max`` events and gaps, and one more gap; at most ``states_max`` states.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from wsgate.client.items import Gap, Item, Update, Why

EVENTS_MAX: Final = 1024
STATES_MAX: Final = 65_536
GAP_NAMES_MAX: Final = 64
EVERYTHING: Final = (">",)


def _nothing() -> None:
    pass


class Mailbox:
    """``woken`` is called whenever there is something in it that was empty."""

    __slots__ = ("_events", "_events_max", "_events_turn", "_states", "_states_max", "woken")

    def __init__(self, events_max: int = EVENTS_MAX, states_max: int = STATES_MAX) -> None:
        if events_max < 1 or states_max < 1:
            raise ValueError("a queue holds one item at least")
        self._events_max = events_max
        self._states_max = states_max
        self._events: deque[Item] = deque()
        self._states: OrderedDict[str, Update] = OrderedDict()
        self._events_turn = True
        self.woken: Callable[[], None] = _nothing

    def __len__(self) -> int:
        return len(self._events) + len(self._states)

    def put_event(self, update: Update) -> None:
        if len(self._events) >= self._events_max:
            self.put_gap(Gap((update.channel,), Why.SLOW))
            return
        self._events.append(update)
        self.woken()

    def put_state(self, update: Update) -> None:
        self._states[update.channel] = update
        if len(self._states) > self._states_max:
            channel, _ = self._states.popitem(last=False)
            self.put_gap(Gap((channel,), Why.SLOW))
        self.woken()

    def put_gap(self, gap: Gap) -> None:
        last = self._events[-1] if self._events else None
        full = len(self._events) >= self._events_max
        if isinstance(last, Gap) and (full or last.why is gap.why):
            self._events[-1] = _joined(last, gap)
        else:
            self._events.append(gap)
        self.woken()

    def take(self) -> Item | None:
        """The next item; events and states take turns, so that neither starves the other."""
        if self._events and (self._events_turn or not self._states):
            self._events_turn = False
            return self._events.popleft()
        self._events_turn = True
        if self._states:
            return self._states.popitem(last=False)[1]
        return None


def _joined(one: Gap, other: Gap) -> Gap:
    """Both in the place of one. Too many names are no news any more: then it is everything."""
    names = tuple(dict.fromkeys(one.channels + other.channels))
    why = one.why if one.why is other.why else Why.SLOW
    few = len(names) <= GAP_NAMES_MAX and EVERYTHING[0] not in names
    return Gap(names if few else EVERYTHING, why)
