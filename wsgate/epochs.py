"""Epochs: whose counting the positions of a channel are.

The gateway's own, each channel counted for itself, or that of a source, for the subjects that it
names: then the same on every gateway.
"""

from __future__ import annotations

from collections.abc import Sequence

from wsgate.core.fanout import Fanout
from wsgate.core.recovery import OWN_EPOCH
from wsgate.rules import matches, overlaps


class Epochs:
    """Tells the core which epoch a channel is of."""

    def __init__(self, core: Fanout) -> None:
        self._core = core
        self._ids: dict[str, int] = {}
        self._in_force: list[tuple[str, str, int]] = []
        """(source, subject, id), the newest first."""

    def begin(self, source: str, epoch: str, subjects: Sequence[str], floor: int) -> None:
        """Positions on these subjects are in ``epoch`` from now on; see ``Feed.begin_epoch``.

        Without a name it is the gateway that counts them, again.
        """
        id = OWN_EPOCH
        if epoch:
            id = self._ids[epoch] = self._core.open_epoch(epoch, floor)
        over = [
            one
            for one in self._in_force
            if one[0] == source and any(overlaps(one[1], subject) for subject in subjects)
        ]
        self._in_force = [
            *((source, subject, id) for subject in subjects),
            *(one for one in self._in_force if one not in over),
        ]
        for ended in {one[2] for one in over} - {one[2] for one in self._in_force}:
            self._core.renew_epoch(ended, id)

    def id(self, epoch: str) -> int:
        """KeyError of one that never began."""
        return self._ids[epoch]

    def of(self, channel: str) -> int:
        """The one that a channel's publications will be of, as far as can be told."""
        for _, subject, id in self._in_force:
            if matches(subject, channel):
                return id
        return OWN_EPOCH
