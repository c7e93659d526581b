"""What a stream still has of one subject after a position: for when memory does not reach back.

All or nothing. It is all if the stream has dropped nothing that young, neither from its beginning
nor of this subject; what somebody deleted on purpose is not missed.
"""

from __future__ import annotations

import asyncio

from wsgate.sources.jetstream.api import JetStreamApi
from wsgate.sources.jetstream.origin import Life
from wsgate.sources.jetstream.pull import Pull
from wsgate.sources.nats_limits import NatsLimits


class Replays:
    """A few at a time, some more waiting, and no more."""

    def __init__(self, limits: NatsLimits) -> None:
        self._limits = limits
        self._turns = asyncio.Semaphore(limits.replays_max)
        self._under_way = 0
        self._replayed = 0
        self._failed = 0

    def snapshot(self) -> dict[str, int | float | str]:
        return {"replays": self._replayed, "replays_failed": self._failed}

    async def replay(
        self, api: JetStreamApi, stream: str, life: Life, subject: str, after: int
    ) -> list[tuple[int, bytes]] | None:
        """None: it is not all there, is too much, takes too long, or too many ask."""
        found = None
        if self._under_way < self._limits.replays_waiting_max:
            self._under_way += 1
            try:
                async with asyncio.timeout(self._limits.replay_timeout_s), self._turns:
                    found = await self._read(api, stream, life, subject, after)
            except Exception:
                found = None  # whoever asked tells its client to begin anew: no other use for it
            finally:
                self._under_way -= 1
        if found is None:
            self._failed += 1
        else:
            self._replayed += 1
        return found

    async def _read(
        self, api: JetStreamApi, stream: str, life: Life, subject: str, after: int
    ) -> list[tuple[int, bytes]] | None:
        limits = self._limits
        policy = {"deliver_policy": "by_start_sequence", "opt_start_seq": after + 1}
        async with Pull(api, stream, (subject,), limits, **policy) as pull:
            info = await api.stream(stream)
            count = pull.consumer.pending
            if info.created != life.created or pull.consumer.begins > after + 1:
                return None
            if info.last_seq < after or count > limits.replay_count_max:
                return None
            if 0 < info.per_subject_max <= count:
                # Those that it keeps are all younger; there may have been more.
                return None
            if count == 0:
                return []
            # The server counts what it sends, and subjects are part of that.
            portion = await pull.portion(count, limits.replay_bytes_max)
            if len(portion) < count:
                return None
            return [(stored.seq, stored.payload) for stored in portion]
