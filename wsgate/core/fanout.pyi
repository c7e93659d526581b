"""Fan-out: a publication is encoded once and goes into the outbox of everybody who wants it."""

from wsgate.core.recovery import Recovery

class Fanout(Recovery):
    """The core as one object; see ``Roster`` for subscriptions, ``Recovery`` for positions."""

    def publish(self, id: int, payload: bytes, seq: int = 0, epoch: int = 0) -> bool:
        """Publish `payload` (JSON, checked) on a known channel; whether anybody wants it.

        `seq`: its position in a source's `epoch`; 0: the next one of the gateway's own. A repeat
        is ignored.
        """

    def restore(self, id: int, payload: bytes, seq: int, epoch: int) -> bool:
        """Take a publication from before: an event is remembered and sent to nobody."""

    def is_event(self, id: int) -> bool:
        """Whether each publication of a known channel matters, not the latest alone."""

    def is_wanted(self, id: int) -> bool:
        """Whether anybody is subscribed to a known channel, by its name or a pattern."""

    def lose(self, id: int, seq: int = 0, epoch: int = 0) -> None:
        """An event on a known channel is not to be sent: who would get it is told by a gap."""

    def flush(self, now_ms: int, visits: int, more: int = 0) -> bool:
        """Spread what was published and write to dirty connections; True while unfinished.

        It stops after `visits`, or after `more` beyond if the sink says that nothing else waits.
        """

    def settle_all(self) -> None:
        """Spread all that was published, now."""

    def tick(self, now_ms: int) -> list[tuple[int, int]]:
        """Let time pass; the shell's due timers come back as (handle, timer)."""

    def busiest(self, top: int) -> list[tuple[str, int]]:
        """The (name, publications) of the channels published most since they are known."""

    def facts(self, name: str) -> dict[str, int] | None:
        """What is known of a channel: rule, seq, publications, subscribers; or None."""

    @property
    def owes_publications(self) -> bool:
        """Whether there is anything for ``flush`` to do."""
