"""How many read nothing, for how long, and what the others are sent meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.fanout.scenarios import Kind, Scenario


@dataclass(frozen=True)
class Sizes:
    slow: int = 50
    others: int = 950
    receive_buffer: int = 8 * 1024
    """SO_RCVBUF of those who read nothing."""
    state_channels: int = 100
    state_updates: int = 400
    """On each channel: with all channels, what is published for each of the slow ones."""
    state_rate: float = 20.0
    event_rate: float = 20.0
    payload_bytes: int = 500
    warmup_s: float = 2.0

    @property
    def seconds(self) -> float:
        return self.state_updates / self.state_rate

    @property
    def published_for_each_bytes(self) -> int:
        return self.state_channels * self.state_updates * self.payload_bytes

    @property
    def events(self) -> Scenario:
        """What the others, who read as fast as they can, are subscribed to: one channel."""
        return Scenario(
            name="others",
            about="one event channel",
            kind=Kind.STREAM,
            channels="token.bench.comment",
            rate=self.event_rate,
            connections=self.others,
            payload_bytes=self.payload_bytes,
        )

    @property
    def states(self) -> Scenario:
        """What the slow ones are subscribed to: all of these state channels."""
        return Scenario(
            name="slow",
            about="state channels",
            kind=Kind.STREAM,
            channels="token.s%03u.update",
            per_template=self.state_channels,
            rate=self.state_rate,
            connections=self.slow,
            payload_bytes=self.payload_bytes,
        )


FULL = Sizes()
QUICK = Sizes(
    slow=5,
    others=30,
    state_channels=20,
    state_updates=200,
    state_rate=100.0,
    payload_bytes=1000,
    warmup_s=0.2,
)
"""Shows that it works, in a few seconds; still far more than kernel buffers hold."""
