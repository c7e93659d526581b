"""Delivery: what is owed becomes one write for each connection."""

from collections.abc import Callable

from wsgate.core.channel import Channels
from wsgate.core.counters import Counters
from wsgate.core.delta import DeltaEncoder
from wsgate.core.frame import Frame
from wsgate.core.index import Index
from wsgate.core.outboxes import Outboxes
from wsgate.core.sink import Sink

class Delivery(Outboxes):
    """All outboxes and the one way out of them."""

    def __init__(
        self,
        channels: Channels,
        counters: Counters,
        sink: Sink,
        gap_message: Callable[[int], bytes],
        *,
        events_bytes_max: int,
        events_count_max: int,
        control_bytes_max: int,
        compress: Callable[[bytes], bytes] | None = None,
        deflate_bytes_min: int = 0,
        encoder: DeltaEncoder | None = None,
    ) -> None: ...
    @property
    def visited(self) -> int:
        """Connections that rounds have visited so far."""

    def announce_gap(self, frame: Frame, rules_mask: int, subscribed: Index | None = None) -> None:
        """Owe every connection the gap `frame`, in its place among the events."""

    def flush_urgent(self, visits: int) -> bool:
        """Visit connections that are owed replies; True while some are left."""
