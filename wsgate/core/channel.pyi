"""Channels: position, latest value, and a bound on how many are remembered."""

from wsgate.core.counters import Counters

class Channels:
    """What is known of each channel, by topic id."""

    def __init__(self, counters: Counters) -> None: ...
    @property
    def count(self) -> int:
        """Channels that are known."""

    @property
    def epoch_names(self) -> list[str]:
        """The epochs of positions, by id; the first is the gateway's own."""

    def open_epoch(self, name: str, floor: int = 0) -> int:
        """The id of the epoch that a source's positions are of."""

    def busiest(self, top: int) -> list[tuple[int, int]]:
        """The (publications, id) of those published most since they are known, at most `top`."""

    def check(self) -> None:
        """Assert the invariant of the list of unused channels; O(channels)."""
