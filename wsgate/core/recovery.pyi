"""Recovery: a client that was cut off gets what it missed, whole, or is told that it cannot."""

from collections.abc import Callable, Sequence
from typing import TypedDict

from wsgate.core.history import History
from wsgate.core.roster import Roster
from wsgate.core.sink import Sink

OWN_EPOCH: int

class _Position(TypedDict, total=False):
    epoch: str
    seq: int
    recovered: bool

class Recovery(Roster):
    """`history`: what is kept of each rule's events, see ``History``; None: nothing."""

    def __init__(
        self,
        sink: Sink,
        rules: Sequence[tuple[str, str, str]],
        gap_message: Callable[[int], bytes],
        *,
        history: Sequence[tuple[int, int, int]] | None = None,
        epoch: str = "",
        channels_max: int,
        now_ms: int = 0,
        events_bytes_max: int,
        events_count_max: int,
        control_bytes_max: int,
        compress: Callable[[bytes], bytes] | None = None,
        deflate_bytes_min: int = 0,
        squeeze: Callable[[bytes, bytes], bytes] | None = None,
    ) -> None: ...
    @property
    def history(self) -> History:
        """The events that are kept."""

    def open_epoch(self, name: str, floor: int = 0) -> int:
        """The id of a source's epoch: its publications above `floor` will all be told."""

    def lose_up_to(self, epoch: int, seq: int) -> None:
        """Of what a source counted in the epoch, up to `seq`, some may never have come."""

    def renew_own_epoch(self, name: str) -> None:
        """Some of what the gateway counts by itself may never have come: it counts anew."""

    def horizon(self, name: str) -> int:
        """What lies up to here of a channel that is known only the origin can tell."""

    def epoch_of(self, name: str) -> str:
        """The epoch of a channel that is known."""

    def position_of(self, name: str) -> _Position:
        """The position of a channel; empty if it is not known."""

    def renew_epoch(self, ended: int, epoch: int) -> None:
        """The source counts anew: nothing is known of event channels counted in `ended`."""

    def is_covered(self, handle: int, name: str) -> bool:
        """Whether the connection gets what is published on a channel, by its name or a pattern."""

    def lacks(self, name: str, epoch: str, after: int) -> bool:
        """Whether only the origin can tell what came on an event channel after a position."""

    def catch_up(
        self,
        handle: int,
        name: str,
        epoch: str,
        after: int,
        earlier: Sequence[tuple[int, bytes]] = (),
        proven: int = 0,
    ) -> bool:
        """Owe a new subscriber what it missed after a position; whether that is all."""

    def release(self, handle: int) -> bool:
        """As ``Roster`` does it."""

    def unsubscribe(self, handle: int, name: str) -> bool:
        """As ``Roster`` does it."""

    def check(self) -> None:
        """Assert every invariant of the core; O(everything)."""
