"""What is published, and to whom, where several scenarios want the same."""

from __future__ import annotations

from benchmarks.fanout.scenarios import Kind, Scenario

CHANNELS = 10


def one_channel(name: str, connections: int, rate: float, payload_bytes: int = 500) -> Scenario:
    """All on one event channel: one publication is so many deliveries."""
    return Scenario(
        name=name,
        about="",
        kind=Kind.STREAM,
        channels="token.bench.comment",
        rate=rate,
        connections=connections,
        payload_bytes=payload_bytes,
    )


def in_turn(name: str, connections: int, rate: float) -> Scenario:
    """Each on one of ten event channels, so that deliveries do not come all at once."""
    return Scenario(
        name=name,
        about="",
        kind=Kind.STREAM,
        channels="token.c%u.comment",
        per_template=CHANNELS,
        rate=rate,
        connections=connections,
    )
