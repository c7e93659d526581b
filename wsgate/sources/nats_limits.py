"""Every number that rules a NATS source."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NatsLimits:
    """The defaults are meant for production; tests shorten them."""

    connect_timeout_s: float = 5.0
    """From the first SYN until the server has confirmed the subscriptions."""

    heartbeat_interval_s: float = 5.0
    heartbeat_timeout_s: float = 5.0
    """A server that sends nothing for this long after a PING is given up: a hang is noticed within
    the sum of these two."""

    close_timeout_s: float = 2.0

    backoff_base_s: float = 0.25
    backoff_cap_s: float = 10.0

    steady_s: float = 10.0
    """A connection that lasted this long was a good one: the back-off starts anew after it."""

    denied_retry_s: float = 30.0
    """How often to ask again for a subject that the server denied."""

    log_interval_s: float = 30.0
    """At most one line in this time about the same trouble."""

    def __post_init__(self) -> None:
        assert 0 < self.backoff_base_s <= self.backoff_cap_s
        assert self.connect_timeout_s > 0 and self.close_timeout_s > 0
        assert self.heartbeat_interval_s > 0 and self.heartbeat_timeout_s > 0
