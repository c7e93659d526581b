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

    # JetStream

    api_timeout_s: float = 5.0
    """For each answer of JetStream, and for each message of a portion."""

    portion: int = 500
    """So many messages of the past are read at once: some milliseconds in which nothing else is
    done."""

    consumer_heartbeat_s: float = 1.0
    heartbeats_missed_max: int = 3
    """A stream that is silent for this many heartbeats is asked anew: a consumer can vanish without
    a word, and its connection stay."""

    leaps_interval_s: float = 1.0
    """How often to ask, while a stream is behind, whether it has dropped what was still to come."""

    consumer_inactive_s: float = 10.0
    """After this long the server forgets a consumer that nobody listens to."""

    stale_after_s: float = 5.0
    """A stream that cannot be had for this long makes the source stale: until then its publications
    are late, and nobody need know."""

    recheck_s: float = 60.0
    """How often to see whether other streams keep the subjects now."""

    progress_interval_s: float = 10.0
    """A fill that takes longer says how far it is."""

    replays_max: int = 8
    replays_waiting_max: int = 256
    replay_timeout_s: float = 3.0
    replay_count_max: int = 1_000
    replay_bytes_max: int = 1024 * 1024
    """What is more is not replayed; nor is what nobody has time for."""

    def __post_init__(self) -> None:
        assert 0 < self.backoff_base_s <= self.backoff_cap_s
        assert self.connect_timeout_s > 0 and self.close_timeout_s > 0
        assert self.heartbeat_interval_s > 0 and self.heartbeat_timeout_s > 0
        assert self.api_timeout_s > 0 and self.portion > 0
        assert self.consumer_heartbeat_s >= 0.1, "the server takes no less"
        assert self.heartbeats_missed_max > 1, "one wait may be the end of a stall of our own"
        assert 0 < self.replays_max <= self.replays_waiting_max
