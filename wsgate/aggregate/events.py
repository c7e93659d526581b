"""Event channels: all of them, in order, unchanged.

While NATS takes nothing they are held, in bounded memory. Past the bound the newest are dropped,
and where they are missing readers are told by a gap. O(1) for each publication.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import islice

from wsgate.aggregate.outgoing import Outgoing
from wsgate.control import GAP_SUBJECT, MISSED_AT_ONCE_MAX, gap_message
from wsgate.sources.nats_commands import publish_command, publish_head

_GAP_HEAD = publish_head(GAP_SUBJECT)


class Event:
    """One channel; ``rule`` is the subject of its rule, which stands for it in a gap."""

    __slots__ = ("head", "rule")

    def __init__(self, head: bytes, rule: str) -> None:
        self.head = head
        self.rule = rule


class Events:
    """Adds to the batch of ``outgoing``."""

    def __init__(self, outgoing: Outgoing, bytes_max: int) -> None:
        self._outgoing = outgoing
        self._batch = outgoing.batch
        self._bytes_max = bytes_max
        self._backlog: deque[bytes] = deque()
        self._missed: dict[str, None] = {}
        """Of what readers miss some that would stand behind the backlog; in order, each once."""
        self.backlog_bytes = 0
        self.passed = 0
        self.dropped = 0
        self.gaps = 0

    @property
    def held(self) -> int:
        """Events, and gaps between them."""
        return len(self._backlog)

    def take(self, event: Event, payload: bytes) -> bool:
        """The hot path: into the batch, or held; False if it was dropped."""
        command = publish_command(event.head, payload)
        if self._outgoing.open:
            self._batch.append(command)
            self.passed += 1
            return True
        return self._hold(event, command)

    def miss(self, channels: Iterable[str]) -> None:
        """Tell readers, behind all that is held, that publications of these are missing."""
        self._missed |= dict.fromkeys(channels)

    def release(self, most: int) -> None:
        """Up to so many that are held, and behind the last of them the gap, into the batch."""
        for _ in range(min(most, len(self._backlog))):
            command = self._backlog.popleft()
            self.backlog_bytes -= len(command)
            self._batch.append(command)
            self.passed += not command.startswith(_GAP_HEAD)
        if self._missed and not self._backlog:
            self._batch += self._gap()

    def _hold(self, event: Event, command: bytes) -> bool:
        # Once one was dropped so are all, until there is much room: one gap tells of many.
        if self._missed and self.backlog_bytes <= self._bytes_max // 2:
            for gap in self._gap():
                self._append(gap)
        if self._missed or self.backlog_bytes + len(command) > self._bytes_max:
            self._missed[event.rule] = None
            self.dropped += 1
            return False
        self._append(command)
        return True

    def _append(self, command: bytes) -> None:
        self._backlog.append(command)
        self.backlog_bytes += len(command)

    def _gap(self) -> list[bytes]:
        """Commands that tell what is missed, which then is told."""
        self.gaps += 1
        missed = iter(self._missed)
        self._missed = {}
        return [
            publish_command(_GAP_HEAD, gap_message(some))
            for some in iter(lambda: list(islice(missed, MISSED_AT_ONCE_MAX)), [])
        ]
