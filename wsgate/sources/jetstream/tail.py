"""What is new in a stream, from a sequence on: in order, nothing twice, or it says that it broke.

An ephemeral push consumer with flow control and heartbeats. nats-py's ordered consumer would do the
same, but does not miss heartbeats that stay away. A :class:`Tail` mends nothing: once broken it is
replaced by another, from the sequence after the last.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import Final

from wsgate.sources.jetstream.acks import place
from wsgate.sources.jetstream.api import Consumer, JetStreamApi
from wsgate.sources.nats_limits import NatsLimits

_STATUS: Final = b"NATS/1.0 100"

# How many tokens of a reply there are from the stream's sequence on; see `acks`.
_BEHIND: Final = 4
_BEHIND_WITH_DOMAIN: Final = 5

Publish = Callable[[str, bytes, int, str], object]


class Tail:
    """``open`` it after a sequence, ``begin`` to hand over, ``watch`` it, ``close`` it."""

    def __init__(
        self,
        api: JetStreamApi,
        publish: Publish,
        failed: Callable[[Exception], None],
        epoch: str,
        limits: NatsLimits,
    ) -> None:
        self._link = api.link
        self._api = api
        self._publish = publish
        self._failed = failed
        self._epoch = epoch
        self._limits = limits
        self._consumer: Consumer | None = None
        self._inbox_number = 0
        self._next = 1
        self._behind = _BEHIND
        self._beats = 0
        self._goal = 0
        self._broken: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._caught_up = asyncio.Event()
        self._waiting = b"0"  # how many more of ours there were behind the last
        self._leapt = asyncio.Event()
        self._leapt_from = 0
        self.last = 0
        """Everything up to here was handed over, or is none of ours."""
        self.repeated = 0

    async def open(self, stream: str, subjects: Sequence[str], after: int) -> Consumer:
        """Make the consumer. It delivers nothing before ``begin``: nobody listens yet."""
        self.last = after
        inbox = self._link.new_inbox()
        self._consumer = await self._api.make_consumer(
            stream,
            f"wsgate-{secrets.token_hex(8)}",
            subjects,
            deliver_subject=inbox,
            deliver_policy="by_start_sequence",
            opt_start_seq=after + 1,
            flow_control=True,
            idle_heartbeat=int(self._limits.consumer_heartbeat_s * 1e9),
            inactive_threshold=int(self._limits.consumer_inactive_s * 1e9),
        )
        self._inbox = inbox
        self._goal = self._consumer.pending + 1
        return self._consumer

    async def begin(self) -> None:
        assert self._consumer is not None, "open first"
        self.last = max(self.last, self._consumer.begins - 1)  # whoever opened it has seen this
        if self._next == self._goal:
            self._caught_up.set()
        self._inbox_number = await self._link.listen(self._inbox, self._receive)

    async def caught_up(self) -> bool:
        """Return when all that was there at ``open`` was handed over; False if it broke before."""
        arrival = asyncio.create_task(self._caught_up.wait())
        watch = asyncio.create_task(self._silence())
        try:
            await asyncio.wait((arrival, watch, self._broken), return_when=asyncio.FIRST_COMPLETED)
            return not self._broken.done()
        finally:
            arrival.cancel()
            watch.cancel()

    async def leapt(self) -> int:
        """Wait for a leap in the stream's sequences while more of ours were waiting; from where.

        What lies in between is others', or has been dropped before it could be delivered.
        """
        await self._leapt.wait()
        self._leapt.clear()
        return self._leapt_from

    async def watch(self) -> str:
        """Return why it is of no use any more."""
        await self._silence()
        return self._broken.result()

    async def close(self) -> None:
        self._break("closed")
        if self._consumer is not None:
            await self._link.unlisten(self._inbox_number)
            self._api.drop_consumer(self._consumer)
            self._consumer = None

    async def _silence(self) -> None:
        """Return when it is broken, and break it when nothing at all comes.

        Several waits in a row, since after a stall of our own an overdue timer runs before what has
        long been there is read.
        """
        silent_waits = 0
        while not self._broken.done():
            heard = self._next, self._beats
            await asyncio.wait((self._broken,), timeout=self._limits.consumer_heartbeat_s)
            silent_waits = silent_waits + 1 if heard == (self._next, self._beats) else 0
            if silent_waits == self._limits.heartbeats_missed_max:
                self._break("silent")

    def _break(self, reason: str) -> None:
        if not self._broken.done():
            self._broken.set_result(reason)

    # Called where messages are read

    def _receive(self, subject: bytes, reply: bytes, payload: bytes, header: bytes | None) -> None:
        try:
            _, stream_seq, consumer_seq, _, waiting, *_ = reply.rsplit(b".", self._behind)
            if int(consumer_seq) != self._next:
                raise ValueError
            seq = int(stream_seq)
        except ValueError:
            self._receive_other(subject, reply, payload, header)
            return
        self._next += 1
        if seq > self.last + 1 and (waiting != b"0" or self._waiting != b"0"):
            self._leap()
        self._waiting = waiting
        if seq > self.last:
            self.last = seq
            try:
                self._publish(subject.decode("utf-8", "replace"), payload, seq, self._epoch)
            except Exception as error:
                self._failed(error)
        else:
            self.repeated += 1
        if self._next == self._goal:
            self._caught_up.set()

    def _leap(self) -> None:
        if not self._leapt.is_set():
            self._leapt_from = self.last
            self._leapt.set()

    def _receive_other(
        self, subject: bytes, reply: bytes, payload: bytes, header: bytes | None
    ) -> None:
        """Whatever is not simply the next message."""
        found = place(reply)
        if found is not None:
            if found.consumer_seq != self._next or self._behind == _BEHIND_WITH_DOMAIN:
                self._break("sequence")
            else:
                self._behind = _BEHIND_WITH_DOMAIN
                self._receive(subject, reply, payload, header)
            return
        self._link.other_messages += 1
        if header is None or not header.startswith(_STATUS):
            return  # somebody found out our inbox, and publishes there
        if reply:
            # Flow control: what was sent before was handed over before, so there may be more.
            self._link.send(reply.decode("ascii", "replace"))
            return
        self._heartbeat(_fields(header))

    def _heartbeat(self, fields: dict[bytes, bytes]) -> None:
        stalled = fields.get(b"nats-consumer-stalled")
        if stalled is not None:
            self._link.send(stalled.decode("ascii", "replace"))
        try:
            delivered = int(fields[b"nats-last-consumer"])
            considered = int(fields[b"nats-last-stream"])
        except (KeyError, ValueError):
            return
        if delivered != self._next - 1:
            self._break("sequence")
        elif stalled is None:
            self._beats += 1  # the others do not count: it must not stall for ever
            # What it passed over is none of ours: should the stream drop that, nothing is missed.
            self.last = max(self.last, considered)
            self._caught_up.set()


def _fields(header: bytes) -> dict[bytes, bytes]:
    fields = {}
    for line in header.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        fields[name.strip().lower()] = value.strip()
    return fields
