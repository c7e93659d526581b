"""A core with its wire, and short words for what tests do with them."""

from __future__ import annotations

import json
from typing import Any

from tests.core import rfc6455
from tests.core.rfc6455 import TEXT, WireFrame
from tests.core.wire import Wire
from wsgate.core.fanout import Fanout
from wsgate.core.frame import Frame

# Which rule a channel has is told by its first token.
RULES = [
    ("price", "state", "gap"),
    ("note", "event", "gap"),
    ("order", "event", "close"),
]
STATE, EVENT, STRICT = range(3)
RULE_OF = {"state": STATE, "event": EVENT, "strict": STRICT}

ALL = 1_000_000  # visits: more than there ever are
WINDOW_MS = 10_000  # between two flushes that are to be strangers to one another

LIMITS = {
    "channels_max": 1000,
    "events_bytes_max": 1 << 20,
    "events_count_max": 4096,
    "control_bytes_max": 1 << 18,
}


def gap_message(mask: int) -> bytes:
    return b'{"type":"gap","rules":%d}' % mask


def envelope(channel: str, seq: int, prev: int, payload: bytes) -> bytes:
    """A publication as docs/protocol.md has it."""
    type = RULES[RULE_OF[channel.split(".")[0]]][0]
    return b'{"type":"%s","channel":"%s","seq":%d,"prev":%d,"data":%s}' % (
        type.encode(), channel.encode(), seq, prev, payload,
    )  # fmt: skip


def text(payload: bytes) -> Frame:
    return Frame.text(payload)


class Rig:
    """A ``Fanout`` on a ``Wire``. Connections are handles; channels are names."""

    def __init__(self, **limits: Any) -> None:
        self.wire = Wire()
        self.core = Fanout(self.wire, RULES, gap_message, **(LIMITS | limits))
        self.delivery = self.core.delivery
        self.now_ms = 0

    # connections

    def open(self, *channels: str) -> int:
        """A new connection, subscribed to `channels`, some of which may be patterns."""
        handle = self.core.open()
        self.wire.renew(slot_of(handle))
        for name in channels:
            self.subscribe(handle, name)
        return handle

    def open_many(self, count: int, *channels: str) -> list[int]:
        return [self.open(*channels) for _ in range(count)]

    def subscribe(self, handle: int, name: str, interval_ms: int = 0) -> int | None:
        if "*" in name or ">" in name:
            self.core.subscribe_pattern(handle, name, interval_ms)
            return None
        return self.core.subscribe(handle, name, rule_of(name), interval_ms)

    def choke(self, handle: int, size: int = 0) -> None:
        """Let the connection's socket take `size` more bytes."""
        self.wire.accept(slot_of(handle), size)

    def resume(self, handle: int) -> None:
        """The peer reads again, and the transport says so."""
        self.wire.drain(slot_of(handle))
        self.delivery.resume(handle)

    # publications

    def publish(self, channel: str, payload: bytes = b"0") -> bool:
        id = self.core.open_channel(channel, rule_of(channel))
        return self.core.publish(id, payload)

    def flush(self) -> None:
        """A whole round, in one slice."""
        self.now_ms += 1
        while self.core.flush(self.now_ms, ALL):
            pass

    def flush_all(self) -> None:
        """Rounds until nothing is left: who is owed very much takes several."""
        while self.core.owes_publications:
            self.flush()

    def flush_replies(self) -> None:
        while self.delivery.flush_urgent(ALL):
            pass

    def later(self, ms: int = WINDOW_MS) -> list[tuple[int, int]]:
        """Let time pass; the shell's timers that are due."""
        self.now_ms += ms
        return self.core.tick(self.now_ms)

    # what came of it

    def stream(self, handle: int) -> bytes:
        return bytes(self.wire.stream(slot_of(handle)))

    def frames(self, handle: int) -> list[WireFrame]:
        """What the connection has received, which must be whole frames."""
        return rfc6455.parse(self.stream(handle))

    def received(self, handle: int) -> list[bytes]:
        """The payloads of the text messages among them."""
        return [frame.payload for frame in self.frames(handle) if frame.opcode == TEXT]

    def publications(self, handle: int) -> list[tuple[str, int, Any]]:
        """The publications received: (channel, seq, data); a gap stands as ("gap", 0, rules)."""
        return [
            ("gap", 0, message["rules"])
            if message["type"] == "gap"
            else (message["channel"], message["seq"], message["data"])
            for message in map(json.loads, self.received(handle))
        ]

    def values(self, handle: int) -> list[tuple[str, Any]]:
        """The publications received, without their positions."""
        return [(channel, data) for channel, _, data in self.publications(handle)]

    def clear(self) -> None:
        """Forget what was received and counted as sent so far."""
        for stream in self.wire.streams.values():
            stream.clear()
        self.wire.sends.clear()
        self.wire.carried.clear()

    def total(self, name: str) -> int:
        return int(self.core.counters.snapshot()[name])


def slot_of(handle: int) -> int:
    return handle & 0xFFFFFFFF


def rule_of(channel: str) -> int:
    return RULE_OF[channel.split(".")[0]]


def written_to(rig: Rig) -> list[int]:
    """The slots that were written to, in order."""
    return [slot for slot, _ in rig.wire.sends]


def owed(rig: Rig, handle: int, lane: str) -> int:
    lanes = rig.delivery.owed(handle)
    assert lanes is not None
    return int(lanes[lane])


def blocked(*channels: str, **limits: int) -> tuple[Rig, int]:
    """A connection that is owed everything, since its transport takes nothing."""
    rig = Rig(**limits)
    handle = rig.open(*channels)
    rig.delivery.block(handle)
    return rig, handle


def resumed(rig: Rig, handle: int) -> None:
    rig.resume(handle)
    rig.flush_all()
    rig.core.check()
