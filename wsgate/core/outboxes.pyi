"""Outboxes: one for each connection, and which of them are dirty."""

from collections.abc import Callable
from typing import TypedDict

from wsgate.core.channel import Channels
from wsgate.core.counters import Counters
from wsgate.core.frame import Frame
from wsgate.core.slots import Slots

SLOW: str
BROKEN: str
CLOSED: str

class _Owed(TypedDict):
    control: int
    control_bytes: int
    events: int
    events_bytes: int
    states: int
    blocked: bool
    paused: bool
    gapped: int

class Outboxes:
    """What each connection is owed. Limits are per connection."""

    def __init__(
        self,
        channels: Channels,
        counters: Counters,
        *,
        events_bytes_max: int,
        events_count_max: int,
        control_bytes_max: int,
        compress: Callable[[bytes], bytes] | None = None,
        deflate_bytes_min: int = 0,
    ) -> None: ...
    @property
    def counters(self) -> Counters:
        """The totals that deliveries add to."""

    @property
    def slots(self) -> Slots:
        """The connections' slots."""

    def open(self, window_bits: int = 0) -> int:
        """Take a slot for a new connection; returns its handle.

        `window_bits`, 8 to 15: the client inflates frames that refer back no farther than that.
        """

    def release(self, handle: int) -> bool:
        """The connection is gone: give up what it is owed and its slot."""

    def block(self, handle: int) -> None:
        """The transport holds something, or is paused: send nothing until ``resume``."""

    def resume(self, handle: int) -> None:
        """The transport is empty again."""

    def pause(self, handle: int) -> None:
        """The client wants no publications for now: they wait, as for one that reads slowly."""

    def unpause(self, handle: int) -> None:
        """It wants them again, and what has waited."""

    def is_blocked(self, handle: int) -> bool:
        """Whether the connection waits for its transport."""

    def reply(self, handle: int, frame: Frame) -> None:
        """Owe `frame` at the end of the tick, before everything else that is owed."""

    def hurry(self, handle: int) -> None:
        """Let what is owed leave at the end of the tick, whatever the window."""

    def tell_all(self, frame: Frame) -> None:
        """Owe the control-lane `frame` to every connection, at the end of the tick."""

    def end(self, handle: int, frame: Frame, flush_owed: bool) -> None:
        """Owe the CLOSE `frame`, after everything owed, or in its place."""

    def take_doomed(self) -> list[tuple[int, str]]:
        """The (handle, reason) of connections to end, once each: SLOW, BROKEN or CLOSED."""

    def pardon(self, handle: int) -> None:
        """A doomed connection is to be ended with a CLOSE of its own."""

    def owed(self, handle: int) -> _Owed | None:
        """What a connection is owed, by lane; None if it is gone."""

    def backlog(self) -> dict[str, int]:
        """The sum over all connections; O(slots), for a scrape."""

    def check(self) -> None:
        """Assert the invariant over everything; O(all that is owed)."""

    @property
    def dirty_count(self) -> int:
        """Connections that are owed something and may be written to."""

    @property
    def urgent_count(self) -> int:
        """Of those: how many are owed a reply."""
