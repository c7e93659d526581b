"""One worker process, as the supervisor holds it: started, spoken to, seen off."""

from __future__ import annotations

import asyncio
import os
import pickle
import platform
import socket
import sys
import time
from typing import Any, Final

import structlog

from wsgate.addresses import Tables
from wsgate.blueprint import Blueprint
from wsgate.board import Board
from wsgate.channel import Channel, ChannelClosed, Handle
from wsgate.orders import Orders

log = structlog.get_logger("wsgate.supervisor")

START_TIMEOUT_S: Final = 30.0
EXIT_TIMEOUT_S: Final = 5.0  # from the end of its work to the end of the process


def _environment() -> dict[str, str]:
    """Ours, and Python's small objects from glibc, so that what a crowd leaves can be given back.

    Python's own arenas are of 1 MB, and one object that lives on keeps the whole of one. Other C
    libraries are slower at it, and an allocator that the operator names stays.
    """
    if platform.libc_ver()[0] != "glibc":
        return dict(os.environ)
    return {"PYTHONMALLOC": "malloc", **os.environ}


class WorkerFailed(OSError):
    """A worker could not start; the text says why."""


class WorkerProcess:
    """``number`` is its slot's, which is its label in metrics; ``line`` its own on the board."""

    def __init__(self, number: int, line: int, handle: Handle) -> None:
        self.number = number
        self.line = line
        self.began_s = time.monotonic()
        self.serving = False
        self._handle = handle
        self._channel = Channel(self._answer)
        self._started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(
        self,
        blueprint: Blueprint,
        listening: socket.socket,
        board: Board,
        addresses: Tables | None,
        live_sources: tuple[str, ...],
    ) -> None:
        """Return when it serves clients.

        Raises WorkerFailed if it says that it cannot, or is gone, or takes too long; there is no
        process any more then.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            passed = [theirs.fileno(), listening.fileno(), board.descriptor]
            if addresses is not None:
                passed.append(addresses.descriptor)
            orders = Orders(
                number=self.number,
                line=self.line,
                lines=board.lines,
                channel=theirs.fileno(),
                listening=listening.fileno(),
                board=board.descriptor,
                addresses=None if addresses is None else addresses.descriptor,
                live_sources=live_sources,
                blueprint=blueprint,
            )
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "wsgate.worker"),
                stdin=asyncio.subprocess.PIPE,
                pass_fds=passed,
                env=_environment(),
            )
        await self._channel.open(ours)
        try:
            stdin = self._process.stdin
            assert stdin is not None
            stdin.write(pickle.dumps(orders))
            stdin.close()
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._first_word()
        except BaseException as error:
            await self.kill()
            if isinstance(error, TimeoutError):
                raise WorkerFailed(f"a worker did not start within {START_TIMEOUT_S:g} s") from None
            raise
        self.serving = True

    async def _first_word(self) -> None:
        gone = asyncio.ensure_future(self._channel.closed())
        try:
            await asyncio.wait({self._started, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not self._started.done():
                status = await self._wait()
                raise WorkerFailed(f"a worker ended before it served anybody, with {status}")
            self._started.result()
        finally:
            gone.cancel()

    async def gone(self) -> int:
        """Return when the process is gone: its exit status, or the negative number of a signal."""
        status = await self._wait()
        self.serving = False
        await self._channel.close()
        return status

    async def ask(self, question: str, argument: Any = None, timeout_s: float | None = 5.0) -> Any:
        """See :meth:`wsgate.channel.Channel.ask`."""
        return await self._channel.ask(question, argument, timeout_s)

    @property
    def backlog_bytes(self) -> int:
        """See :attr:`wsgate.channel.Channel.backlog_bytes`."""
        return self._channel.backlog_bytes

    async def has_read(self) -> None:
        """See :meth:`wsgate.channel.Channel.has_read`."""
        await self._channel.has_read()

    def tell(self, what: str, argument: Any = None) -> None:
        """See :meth:`wsgate.channel.Channel.tell`."""
        self._channel.tell(what, argument)

    async def drain(self, spread_s: float, timeout_s: float) -> None:
        """Have it send its clients elsewhere and end; killed if it takes longer than ``timeout_s``.

        Returns when the process is gone.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._channel.ask("drain", {"spread_s": spread_s}, None)
        except (TimeoutError, ChannelClosed):
            log.warning("a worker was not drained in time", worker=self.number)
        await self._channel.close()  # which is what tells it to end
        try:
            async with asyncio.timeout(EXIT_TIMEOUT_S):
                await self._wait()
        except TimeoutError:
            pass
        await self.kill()

    async def kill(self) -> None:
        """End the process now, if it is there."""
        self.serving = False
        await self._channel.close()
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._wait()

    async def _wait(self) -> int:
        assert self._process is not None
        return await self._process.wait()

    async def _answer(self, question: str, argument: Any) -> Any:
        if question == "started":
            if not self._started.done():
                self._started.set_result(None)
            return None
        if question == "failed":
            if not self._started.done():
                self._started.set_exception(WorkerFailed(argument))
            return None
        return await self._handle(question, argument)
