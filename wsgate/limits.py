"""Every bound of a worker, with its number. Settings may change some; relations always hold."""

from __future__ import annotations

from dataclasses import dataclass, fields

from wsgate.protocol import COMMAND_BYTES_MAX, CONNECTION_SUBSCRIPTIONS_MAX, REPLY_BYTES_MAX

# A frame's header and a publication's envelope: type, channel, seq and prev.
ENVELOPE_BYTES_MAX = 512
PAYLOAD_BYTES_MAX = 256 * 1024
EVENTS_BYTES_MIN = PAYLOAD_BYTES_MAX + ENVELOPE_BYTES_MAX
# What may come at once, in seconds of the rate: a page that opens asks for much in a moment.
COMMANDS_BURST_S = 10.0
PINGS_BURST_S = 4.0
LEAVE_S = 2.0  # for who is told to connect elsewhere, before he is closed here
DRAIN_LEAST_S = LEAVE_S + 1  # in less there is no time to tell anybody
AGE_JITTER = 0.2  # of the age: who came together shall not be sent away together


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what clients and sources can make a worker hold or do.

    All are above 0; those that may be None are then no bound.
    """

    connections_max: int = 10_000
    connections_per_address_max: int | None = None  # an IPv4 address, or a /64 of IPv6
    handshakes_max: int = 4096  # under way at once
    handshakes_per_s: float | None = None  # and as many at once as in a second
    header_bytes_max: int = 8192  # of an upgrade request
    message_bytes_max: int = COMMAND_BYTES_MAX  # as it comes, and inflated
    commands_per_s: float | None = 20.0  # of one connection, after COMMANDS_BURST_S' worth
    pings_per_s: float | None = 5.0  # of one connection, after PINGS_BURST_S' worth
    channels_max: int = 100_000  # remembered; unused ones past it are forgotten, oldest first
    publications_per_s: float | None = None  # from sources, and as many at once as in a second
    broadcasts_per_s: float | None = None  # ... of those that somebody is subscribed to
    payload_bytes_max: int = PAYLOAD_BYTES_MAX  # of one publication; larger ones are refused
    deflate_bytes_min: int = 128  # of a publication's frame; smaller ones are not compressed
    events_bytes_max: int = 1024 * 1024  # owed to one connection in its events lane
    events_count_max: int = 4096
    control_bytes_max: int = 256 * 1024  # owed to one connection in replies
    subscriptions_max: int = CONNECTION_SUBSCRIPTIONS_MAX  # of one connection
    fragments_max: int = 64  # of one message from a client
    handshake_timeout_s: float = 5.0
    auth_timeout_s: float = 10.0  # from the upgrade to a token in an auth command
    ping_interval_s: float = 25.0  # a client silent for two of them is gone
    connection_age_max_s: float | None = None  # then it is sent elsewhere, give or take AGE_JITTER
    close_timeout_s: float = 5.0  # for the closing handshake, then the socket is cut
    shutdown_timeout_s: float = 10.0  # for all closing handshakes when the gateway stops

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and value <= 0:
                raise ValueError(f"{field.name} must be above 0, not {value}")
        if self.events_bytes_max < self.payload_bytes_max + ENVELOPE_BYTES_MAX:
            raise ValueError(
                f"events_bytes_max ({self.events_bytes_max}) must exceed payload_bytes_max"
                f" ({self.payload_bytes_max}) by {ENVELOPE_BYTES_MAX}: the largest publication"
                " has to fit"
            )
        if self.control_bytes_max <= REPLY_BYTES_MAX:
            raise ValueError(
                f"control_bytes_max ({self.control_bytes_max}) must exceed the largest reply,"
                f" {REPLY_BYTES_MAX} bytes"
            )
        if self.events_count_max > 32768:
            raise ValueError(f"events_count_max is at most 32768, not {self.events_count_max}")
