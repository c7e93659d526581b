"""What a subscription yields: updates, and gaps where some may be missing."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias


class Update(NamedTuple):
    """One publication, as the backend made it."""

    type: str
    channel: str
    seq: int
    prev: int
    data: Any


class Why(StrEnum):
    """What is known of a gap."""

    TOLD = "told"  # the gateway said so: it lost its source, or had to drop events
    HOLE = "hole"  # the numbers of an event channel say that something is missing
    UNRECOVERED = "unrecovered"  # after a cut, what was published meanwhile was not replayed
    UNSEEN = "unseen"  # after a cut, all known channels are whole; a new one may have begun
    SLOW = "slow"  # this program did not read, and the subscription's queue was full


class Gap(NamedTuple):
    """On channels that these names and patterns match, something may be missing here."""

    channels: tuple[str, ...]
    why: Why


Item: TypeAlias = Update | Gap
