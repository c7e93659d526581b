"""Where publications come from.

A *source* is fed by something outside (a NATS server, a demo, a test) and hands what it gets to a
*feed*, which is the hub. The two protocols below are all that either knows of the other: a new
source is a class with the shape of :class:`Source` that calls the methods of :class:`Feed`.

Everything here happens in the thread of the event loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Feed(Protocol):
    """What a source may tell the hub. Called by sources only, in the loop's thread.

    No method raises, blocks or awaits: a source calls them from the middle of its read loop, where
    an exception would cost the connection and a wait would cost every subscriber. Sources still
    guard themselves, since one broken feed must not end them.

    From a source, in order: ``feed_live(source, ())`` once, then any number of publications and
    gaps, then in turn ``feed_stale`` and ``feed_live(source, missed)``. Neither comes twice in a
    row. A source that never connected has said nothing yet, and is not live. One whose origin keeps
    publications tells them before it is live: ``begin_epoch``, ``restore``, and ``publish`` of
    what has come meanwhile, also between ``feed_stale`` and ``feed_live``.
    """

    def publish(self, subject: str, payload: bytes, seq: int = 0, epoch: str = "") -> bool:
        """Hand over one publication; False if the hub refused (and counted, and logged) it.

        ``subject`` is as it came and may be no legal subject at all: bytes of it that are not
        UTF-8 arrive as U+FFFD. Publications of one subject come in the order they were published.

        ``seq``, from 1 on, is its position within ``epoch``, which has begun; one that does not
        lie above the subject's last is a repeat, and ignored. 0: the hub counts by itself.
        """
        ...

    def begin_epoch(self, source: str, epoch: str, subjects: Sequence[str], floor: int) -> None:
        """Publications on these subjects have positions in ``epoch`` from now on.

        Whatever an earlier epoch of this source had is over: clients' positions in it are no good
        any more. Every publication above ``floor`` will be told, by ``restore`` or ``publish``; of
        a state only those that were not replaced by a newer one before they could be.

        May come again for the same epoch, with a higher floor, if the origin has dropped what was
        to be told: everything is restored anew then. An empty epoch: the origin counts these no
        more, and the feed does it by itself.
        """
        ...

    def lose_up_to(self, epoch: str, seq: int) -> None:
        """Of the epoch's publications up to ``seq`` some may never be handed over.

        No position before it is good any more, but for what the origin still has. A gap says so to
        those who are there.
        """
        ...

    def restore(self, subject: str, payload: bytes, seq: int, epoch: str) -> bool:
        """Hand over a publication from before: a last value, or a piece of history.

        In order of ``seq`` within a subject, and before anything newer of that subject. A state is
        what subscribers are owed from now on; an event is remembered, and sent to nobody.
        """
        ...

    def caught_up(self) -> None:
        """All that had come was handed over: none of it need wait for more.

        A source that cannot tell need not say so; what it publishes leaves a little later.
        """
        ...

    def control(self, subject: str, payload: bytes) -> None:
        """Hand over a message for the gateway itself, which came on a control subject.

        What the feed can make nothing of it counts and logs.
        """
        ...

    def feed_stale(self, source: str) -> None:
        """The source has lost its origin: what is published from here on may never arrive."""
        ...

    def feed_live(self, source: str, missed: Sequence[str]) -> None:
        """The source receives everything that is published from here on.

        ``missed`` names the subjects, as configured and with their wildcards, that may have a hole
        somewhere between the last ``feed_stale`` and now. It is empty when the origin had kept
        everything, and the first time: then the feed knows that all may have been missed.
        Publications from after the hole may have been handed over before this call.
        """
        ...

    def feed_gap(self, source: str, missed: Sequence[str]) -> None:
        """Publications of these subjects were lost although the source is connected.

        Comes at once when the first is lost, and again, a while later, for as long as more are:
        the last gap is always told after the last loss.
        """
        ...


class Source(Protocol):
    """What the application may ask of a source."""

    @property
    def name(self) -> str:
        """Names this source towards the feed, in logs and in metrics."""
        ...

    @property
    def connected(self) -> bool:
        """True from ``feed_live`` to ``feed_stale``: part of the answer to "are you ready?"."""
        ...

    async def replay(self, subject: str, after: int, epoch: str) -> list[tuple[int, bytes]] | None:
        """What is kept at the origin of one subject, after a position: (seq, payload), in order.

        None if that is not all there was, would be too much, or cannot be told in time.
        """
        ...

    async def start(self) -> None:
        """Begin. Returns at once, whatever the state of the origin; connects in the background."""
        ...

    async def stop(self) -> None:
        """End, and leave no task behind. Does not call the feed again once it has returned."""
        ...

    def snapshot(self) -> dict[str, int | float | str]:
        """Totals and levels of this moment, for metrics. Cheap, and right before a start too."""
        ...
