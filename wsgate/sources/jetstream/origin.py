"""Whose sequence numbers a stream has, and the name of that counting: its epoch.

A mirror keeps the numbers of the stream it copies, its origin, so its epoch is the origin's. A
stream that is deleted and made anew counts anew, and was created at another time.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from wsgate.sources.jetstream.api import JetStreamAbsent, JetStreamApi, JetStreamError, StreamInfo

_MIRRORS_MAX: Final = 4
"""A mirror may be a mirror's, and so on; two could be each other's."""


async def origin_of(api: JetStreamApi, stream: StreamInfo) -> StreamInfo | None:
    """The stream that is no mirror; None if it cannot be asked."""
    for _ in range(_MIRRORS_MAX):
        if stream.mirror is None:
            return stream
        try:
            stream = await api.stream(stream.mirror.origin, stream.mirror.api)
        except (JetStreamAbsent, JetStreamError):
            return None
    return None


def epoch_of(origin: StreamInfo) -> str:
    """The same on every gateway, and on every server of the origin's."""
    return sha256(f"{origin.name} {origin.created}".encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Life:
    """What is known of a stream's counting."""

    created: str
    epoch: str
    by_origin: bool
    """False: the epoch is this gateway's own word for it, and stays for as long as it knows it."""

    def fork(self) -> Life:
        """The same stream has begun to give numbers a second time: it was lost, and not whole."""
        return replace(self, epoch=f"{self.epoch}-{secrets.token_hex(4)}", by_origin=False)


def life_of(stream: StreamInfo, origin: StreamInfo | None, before: Life | None) -> Life:
    """A mirror whose origin cannot be asked has the epoch it had, or one of its own."""
    same = before is not None and before.created == stream.created
    if before is not None and same and (origin is None or not before.by_origin):
        return before
    return Life(stream.created, epoch_of(origin or stream), origin is not None)
