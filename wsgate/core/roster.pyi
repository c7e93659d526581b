"""The roster: connections, the channels that are known, and the subscriptions between them."""

from collections.abc import Callable, Sequence

from wsgate.core.channel import Channels
from wsgate.core.counters import Counters
from wsgate.core.delivery import Delivery
from wsgate.core.index import Index
from wsgate.core.sink import Sink
from wsgate.core.wheel import Wheel

ALIVE_TIMER: int
CLOSE_TIMER: int
LOGIN_TIMER: int

class TooManyChannels(Exception):
    """Every channel that may be remembered is in use."""

class TooManyRates(Exception):
    """The connection uses eight different max_rate values already."""

class Roster:
    """The half of the core that commands change; ``Fanout`` adds publications.

    `rules`: (type, kind, overflow), kind "state" or "event", overflow "gap" or "close".
    `gap_message`: (rules mask) -> payload. Limits are those of ``Delivery``.
    """

    def __init__(
        self,
        sink: Sink,
        rules: Sequence[tuple[str, str, str]],
        gap_message: Callable[[int], bytes],
        *,
        channels_max: int,
        now_ms: int = 0,
        events_bytes_max: int,
        events_count_max: int,
        control_bytes_max: int,
        compress: Callable[[bytes], bytes] | None = None,
        deflate_bytes_min: int = 0,
        squeeze: Callable[[bytes, bytes], bytes] | None = None,
    ) -> None: ...
    @property
    def counters(self) -> Counters:
        """The totals."""

    @property
    def index(self) -> Index:
        """Who is subscribed to what."""

    @property
    def channels(self) -> Channels:
        """What is known of each channel."""

    @property
    def delivery(self) -> Delivery:
        """What each connection is owed."""

    @property
    def wheel(self) -> Wheel:
        """The timers of all connections."""

    def open(self, window_bits: int = 0, delta: bool = False) -> int:
        """A new connection: its handle. See ``Delivery.open`` for `window_bits` and `delta`."""

    def release(self, handle: int) -> bool:
        """The connection is gone: its subscriptions, what it is owed, its timers and its slot."""

    def schedule(self, handle: int, timer: int, due_ms: int) -> None:
        """Let ``tick`` report (handle, `timer`) at `due_ms`."""

    @property
    def paced_connections(self) -> int:
        """How many have set a rate: their clocks want ``tick`` called often."""

    def subscriptions_of(self, handle: int) -> list[str]:
        """The channels and patterns that the connection is subscribed to."""

    def subscription_count(self, handle: int) -> int:
        """How many channels and patterns the connection is subscribed to."""

    def is_subscribed(self, handle: int, name: str) -> bool:
        """Whether the connection is subscribed to exactly this channel or pattern."""

    def find_channel(self, name: str) -> int | None:
        """The id of a channel that is known, good until the next call that opens one."""

    def rule_of(self, name: str) -> int | None:
        """The rule of a channel that is known: such a name is well-formed, and was allowed."""

    def open_channel(self, name: str, rule: int, epoch: int = 0) -> int:
        """The id of channel `name`, known from now on; raises TooManyChannels."""

    def subscribe(self, handle: int, name: str, rule: int, interval_ms: int = 0) -> int:
        """Subscribe to a channel; its position: nothing up to there will come any more."""

    def subscribe_pattern(self, handle: int, pattern: str, interval_ms: int = 0) -> None:
        """Subscribe to every channel that matches."""

    def unsubscribe(self, handle: int, name: str) -> bool:
        """End a subscription and give up what is owed for it alone."""

    def subscriptions_per_connection(self, bounds: Sequence[int]) -> tuple[list[int], int]:
        """How many connections have how many subscriptions: (counts, sum).

        A count for each bound, of those up to it and above the one before, and one for those above
        all.
        """

    def subscribers_per_channel(self, bounds: Sequence[int]) -> tuple[list[int], int]:
        """The same of channels and those subscribed to them by name, not by a pattern."""

    def check(self) -> None:
        """Assert every invariant of the core; O(everything)."""
