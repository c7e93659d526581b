"""A source that is fed by a method call: for tests, and for a demo without a NATS server."""

from __future__ import annotations

from wsgate.sources import Feed


class LocalSource:
    """Passes on whatever :meth:`publish` is given, as long as it is started."""

    def __init__(self, feed: Feed, *, name: str = "local") -> None:
        self._feed = feed
        self._name = name
        self._connected = False
        self._received = 0

    @property
    def name(self) -> str:
        return self._name

    @property
    def connected(self) -> bool:
        return self._connected

    async def replay(self, subject: str, after: int, epoch: str) -> None:
        """Nothing is kept."""

    async def start(self) -> None:
        if not self._connected:
            self._connected = True
            self._feed.feed_live(self._name, ())

    async def stop(self) -> None:
        self._connected = False

    def publish(self, subject: str, payload: bytes) -> bool:
        """Hand one publication to the feed; False if it was refused or nobody is listening."""
        if not self._connected:
            return False
        self._received += 1
        return self._feed.publish(subject, payload)

    def snapshot(self) -> dict[str, int | float | str]:
        return {"connected": int(self._connected), "received": self._received}
