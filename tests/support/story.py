"""A feed that keeps all it is told of positions in the order in which it was told."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import NamedTuple

from tests.support.feed import RecordingFeed


class Told(NamedTuple):
    how: str
    subject: str
    payload: bytes
    seq: int
    epoch: str


class StoryFeed(RecordingFeed):
    """``story`` has restored and published ones, ``by_subject`` says what was told of each."""

    def __init__(self) -> None:
        super().__init__()
        self.story: list[Told] = []
        self._last: dict[str, bytes] = {}

    def publish(self, subject: str, payload: bytes, seq: int = 0, epoch: str = "") -> bool:
        self.story.append(Told("published", subject, payload, seq, epoch))
        self._last[subject] = payload
        return super().publish(subject, payload, seq, epoch)

    def restore(self, subject: str, payload: bytes, seq: int, epoch: str) -> bool:
        self.story.append(Told("restored", subject, payload, seq, epoch))
        self._last[subject] = payload
        return super().restore(subject, payload, seq, epoch)

    @property
    def epochs(self) -> list[str]:
        return [event[2] for event in self.events if event[0] == "epoch"]

    @property
    def states(self) -> list[tuple[str, ...]]:
        """What was told besides epochs."""
        return [event for event in self.events if event[0] != "epoch"]

    def by_subject(self) -> dict[str, list[Told]]:
        found: dict[str, list[Told]] = defaultdict(list)
        for told in self.story:
            found[told.subject].append(told)
        return found

    def numbers(self, subject: str) -> list[int]:
        """The payloads of a subject, which are numbers."""
        return [int(told.payload) for told in self.by_subject()[subject]]

    async def until_told(self, subject: str, number: int) -> None:
        """Wait for this number on the subject."""

        def told() -> bool:
            last = self._last.get(subject)
            return last is not None and int(last) >= number

        await self.until(told, f"{number} on {subject}")

    def assert_in_order(self) -> None:
        """Of each subject, within an epoch: nothing twice, nothing old after something new."""
        for subject, told in self.by_subject().items():
            for before, after in pairwise(told):
                if before.epoch == after.epoch:
                    assert before.seq < after.seq, (subject, before, after)
                    assert (before.how, after.how) != ("published", "restored"), subject
