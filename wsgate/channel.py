"""The channel between the supervisor and a worker: questions and answers over a pair of sockets.

A message is JSON behind its length in four bytes. Either side may ask; whoever is asked answers
with what his ``handle`` returns. A side that is gone is noticed at once, by the end of the stream.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
import structlog

log = structlog.get_logger("wsgate.channel")

ANSWER_TIMEOUT_S: Final = 5.0
MESSAGE_BYTES_MAX: Final = 64 * 1024 * 1024
LENGTH_BYTES: Final = 4

Handle = Callable[[str, Any], Awaitable[Any]]


class ChannelClosed(ConnectionError):
    """The other side is gone, or this one has closed."""


class Refused(Exception):
    """The other side says no, and why."""


class Channel:
    """One end. ``handle(question, argument)`` answers what the other side asks.

    It may raise :class:`Refused`, whose text the other side is told; what else it raises is logged.
    """

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    async def open(self, end: socket.socket) -> None:
        """Begin. The socket is the channel's from now on."""
        reader, self._writer = await asyncio.open_connection(sock=end)
        self._reading = asyncio.create_task(self._read(reader), name="channel")

    async def closed(self) -> None:
        """Return when the other side is gone."""
        assert self._reading is not None, "not open"
        await asyncio.wait({self._reading})

    async def close(self) -> None:
        """Ask and answer no more."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading, *self._answering})

    async def ask(
        self, question: str, argument: Any = None, timeout_s: float | None = ANSWER_TIMEOUT_S
    ) -> Any:
        """The other side's answer.

        Raises Refused, ChannelClosed, or TimeoutError if it has not come in time.
        """
        number = next(self._numbers)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._send({"ask": question, "number": number, "argument": argument})
            async with asyncio.timeout(timeout_s):
                return await answer
        finally:
            del self._waiting[number]

    @property
    def backlog_bytes(self) -> int:
        """What was sent and neither the other side nor the kernel has taken."""
        return 0 if self._writer is None else self._writer.transport.get_write_buffer_size()

    async def has_read(self) -> None:
        """Return when the backlog is small. Raises ChannelClosed."""
        if self._writer is None or self._writer.is_closing():
            raise ChannelClosed("the channel is closed")
        try:
            await self._writer.drain()
        except ConnectionError:
            raise ChannelClosed("the other side is gone") from None

    def tell(self, what: str, argument: Any = None) -> None:
        """Ask for nothing but that it is done; lost if the other side is gone."""
        try:
            self._send({"ask": what, "number": 0, "argument": argument})
        except ChannelClosed:
            log.debug("nobody to tell", what=what)

    def _send(self, message: dict[str, Any]) -> None:
        if self._writer is None or self._writer.is_closing():
            raise ChannelClosed("the channel is closed")
        data = orjson.dumps(message)
        self._writer.write(len(data).to_bytes(LENGTH_BYTES, "big") + data)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
                if size > MESSAGE_BYTES_MAX:
                    log.error("a message on the channel is too large", bytes=size)
                    return
                self._take(orjson.loads(await reader.readexactly(size)))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._end()

    def _take(self, message: dict[str, Any]) -> None:
        if "ask" in message:
            task = asyncio.create_task(self._answer(message), name=f"answer-{message['ask']}")
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
            return
        answer = self._waiting.get(message["number"])
        if answer is None or answer.done():  # too late
            return
        if "refused" in message:
            answer.set_exception(Refused(message["refused"]))
        else:
            answer.set_result(message["answer"])

    async def _answer(self, message: dict[str, Any]) -> None:
        number = message["number"]
        try:
            reply = {"answer": await self._handle(message["ask"], message["argument"])}
        except Refused as error:
            reply = {"refused": str(error)}
        except Exception as error:
            log.exception("a question on the channel could not be answered", ask=message["ask"])
            reply = {"refused": f"{type(error).__name__}: {error}"}
        if number:
            try:
                self._send({"number": number, **reply})
            except ChannelClosed:
                pass

    def _end(self) -> None:
        assert self._writer is not None
        self._writer.close()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(ChannelClosed("the other side is gone"))
        for task in self._answering:
            task.cancel()
