"""Every number that rules a polling source, beside its settings."""

from __future__ import annotations

from dataclasses import dataclass

CURSOR_CHARACTERS_MAX = 1024  # it becomes part of a URL


@dataclass(frozen=True)
class PollLimits:
    """The defaults are meant for production; tests shorten them."""

    interval_s: float = 0.1
    """From the beginning of a poll to that of the next, unless its answer takes longer."""

    timeout_s: float = 5.0
    """For a whole answer. An answer that is so late, after it was due, makes the feed stale."""

    bytes_max: int = 4 * 1024 * 1024
    """Of an answer."""

    ids_max: int = 100_000
    """Items of which the newest version is remembered."""

    backoff_base_s: float = 0.25
    backoff_cap_s: float = 10.0

    log_interval_s: float = 30.0
    """At most one line in this time about the same trouble."""

    def __post_init__(self) -> None:
        assert self.interval_s > 0 and self.timeout_s > 0
        assert self.bytes_max > 0 and self.ids_max > 0
        assert 0 < self.backoff_base_s <= self.backoff_cap_s
