"""nats-py's client, without the parts through which a publisher can break it.

A subject, a reply subject or a header that nats-py cannot decode ends its read loop, and whoever
may publish may send one. Nothing here reads headers or replies, and a subject that is no UTF-8 is
for the feed to refuse.

The methods replaced are private to nats-py. Should it rename them, ours are never called: the read
loop ends as before, and the heartbeat of :mod:`wsgate.sources.nats_link` notices.
"""

from __future__ import annotations

from collections.abc import Callable

from nats.aio.client import Client


class Message:
    """What nats-py wants to see in a message, and no more: made once for each, so it counts."""

    __slots__ = ("data", "reply", "subject")

    def __init__(self, subject: str, data: bytes) -> None:
        self.subject = subject
        self.reply = ""
        self.data = data


class HardenedClient(Client):
    """Calls ``on_reader_end`` when its read loop has ended, for whatever reason."""

    def __init__(self, on_reader_end: Callable[[], None]) -> None:
        super().__init__()
        self._on_reader_end = on_reader_end

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: object
    ) -> Message:
        return Message(subject.decode("utf-8", "replace"), data)

    async def _process_headers(self, headers: bytes) -> None:
        return None

    async def _read_loop(self) -> None:
        try:
            await super()._read_loop()
        finally:
            self._on_reader_end()
