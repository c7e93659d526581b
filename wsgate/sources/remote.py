"""A source that lives in another process: what is left of it here is whether it is live.

Its publications come with all others that the supervisor tells.
"""

from __future__ import annotations

from collections.abc import Sequence

from wsgate.sources import Feed


class RemoteSource:
    """Waits to be told, and passes that on to the feed; a :class:`~.Source`.

    ``live`` is what it is when it starts, so that the first clients need not hear that it is not.
    """

    def __init__(self, feed: Feed, name: str, *, live: bool = False) -> None:
        self._feed = feed
        self._name = name
        self._live_at_start = live
        self._connected = False

    @property
    def name(self) -> str:
        return self._name

    @property
    def connected(self) -> bool:
        return self._connected

    async def replay(self, subject: str, after: int, epoch: str) -> None:
        """Nothing is kept here."""

    async def start(self) -> None:
        self.told(self._live_at_start, ())

    async def stop(self) -> None:
        self._connected = False

    def told(self, live: bool, missed: Sequence[str]) -> None:
        """What the source itself told its feed: that it is live, with maybe a hole, or stale."""
        if live and not self._connected:
            self._connected = True
            self._feed.feed_live(self._name, missed)
        elif not live and self._connected:
            self._connected = False
            self._feed.feed_stale(self._name)

    def snapshot(self) -> dict[str, int | float | str]:
        return {"connected": int(self._connected)}
