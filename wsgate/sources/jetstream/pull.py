"""What a stream has kept, in portions: an ephemeral pull consumer, read by one conversation.

Between two portions the loop is somebody else's. And nothing comes that was not asked for, so there
is nothing to hold back.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, NamedTuple

import orjson

from wsgate.sources.jetstream.acks import place
from wsgate.sources.jetstream.api import OWN, Consumer, JetStreamApi, JetStreamError
from wsgate.sources.nats_limits import NatsLimits

_END: Final = {b"404", b"408"}
_COMPLETED: Final = b"Batch Completed"
_TOO_LARGE: Final = b"Message Size Exceeds MaxBytes"


class Stored(NamedTuple):
    subject: str
    payload: bytes
    seq: int


class Pull:
    """An async context manager; makes the consumer on entering."""

    consumer: Consumer

    def __init__(
        self,
        api: JetStreamApi,
        stream: str,
        subjects: Sequence[str],
        limits: NatsLimits,
        **policy: Any,
    ) -> None:
        self._api = api
        self._link = api.link
        self._stream = stream
        self._subjects = subjects
        self._policy = policy
        self._limits = limits
        self._inbox = api.link.new_inbox()
        self._inbox_number = 0
        self._portions = 0
        self._next = 1
        self._portion: list[Stored] = []
        self._wanted = 0
        self._failed: str | None = None
        self._done = asyncio.Event()
        self.cut_short = False
        """The portion ended because the next message would have been too much."""

    async def __aenter__(self) -> Pull:
        self.consumer = await self._api.make_consumer(
            self._stream,
            f"wsgate-{secrets.token_hex(8)}",
            self._subjects,
            inactive_threshold=int(self._limits.consumer_inactive_s * 1e9),
            **self._policy,
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._link.unlisten(self._inbox_number)
        self._api.drop_consumer(self.consumer)

    @property
    def payload_bytes_max(self) -> int:
        return self._link.payload_bytes_max

    async def portion(self, count: int, bytes_max: int = 0) -> list[Stored]:
        """Up to so many of the messages that come next; none if there are no more, or too large."""
        if not self._inbox_number:
            self._inbox_number = await self._link.listen(f"{self._inbox}.*", self._receive)
        self._portions += 1
        self._portion = []
        self._wanted = count
        self._done.clear()
        self.cut_short = False
        question = orjson.dumps({"batch": count, "max_bytes": bytes_max, "no_wait": True})
        name = f"{self._stream}.{self.consumer.name}"
        self._link.send(f"{OWN}.CONSUMER.MSG.NEXT.{name}", question, self._reply)
        await self._arrival()
        if self._failed is not None:
            raise JetStreamError(f"{self._stream} cannot be read: {self._failed}")
        return self._portion

    @property
    def _reply(self) -> str:
        """One for each portion: a status may come when the portion is whole already."""
        return f"{self._inbox}.{self._portions}"

    async def _arrival(self) -> None:
        """Return when the portion is whole; JetStreamError when nothing more of it comes."""
        come = -1
        while not self._done.is_set():
            if come == len(self._portion):
                raise JetStreamError(f"{self._stream} sends nothing")
            come = len(self._portion)
            try:
                async with asyncio.timeout(self._limits.api_timeout_s):
                    await self._done.wait()
            except TimeoutError:
                continue

    def _receive(self, subject: bytes, reply: bytes, payload: bytes, header: bytes | None) -> None:
        self._link.other_messages += 1
        found = place(reply)
        if found is None:
            if subject == self._reply.encode():
                self._receive_status(header or b"")
            return
        if found.consumer_seq != self._next:
            self._fail("a message is missing")
            return
        self._next += 1
        name = subject.decode("utf-8", "replace")
        self._portion.append(Stored(name, payload, found.stream_seq))
        if len(self._portion) >= self._wanted:
            self._done.set()

    def _receive_status(self, header: bytes) -> None:
        status, _, text = header.partition(b"\r\n")[0].removeprefix(b"NATS/1.0 ").partition(b" ")
        if status in _END or _COMPLETED in text:
            self._done.set()
        elif _TOO_LARGE in text:
            self.cut_short = True
            self._done.set()
        elif status != b"100":
            self._fail(text.decode("ascii", "replace") or status.decode("ascii", "replace"))

    def _fail(self, reason: str) -> None:
        self._failed = reason
        self._done.set()
