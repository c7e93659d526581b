"""Sockets in: accepts at its own pace and prepares each socket before anything is written to it."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

# What the kernel holds counts as backlog: left alone it takes megabytes for a client that reads
# nothing before it says no, and conflation would begin minutes late.
SEND_BUFFER_BYTES = 32 * 1024  # the kernel doubles it for its own book-keeping
NOTSENT_LOWAT_BYTES = 16 * 1024

ACCEPTS_A_TURN = 64  # then the loop reads, writes and answers NATS
PAUSE_S = 0.1  # without descriptors or memory: what there is goes to those connected

EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


def tune(accepted: socket.socket) -> None:
    """Bound what the kernel may hold for this client; send small writes at once."""
    accepted.setblocking(False)
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOTSENT_LOWAT_BYTES)


class Acceptor:
    """Accepts on one listening socket and hands each client to a protocol of `protocol_factory`.

    Out of descriptors it rests for 100 ms at a time instead of spinning; clients meanwhile wait in
    the kernel's queue. `exhausted` counts how often.
    """

    def __init__(
        self,
        listening: socket.socket,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
    ) -> None:
        self._listening = listening
        self._protocol_factory = protocol_factory
        self._loop = asyncio.get_running_loop()
        self._connecting: set[asyncio.Task[object]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self.accepted = 0
        self.exhausted = 0

    def start(self) -> None:
        """Begin to accept."""
        self._pause = None
        self._loop.add_reader(self._listening, self._accept_some)

    def stop(self) -> None:
        """Accept no more; the listening socket stays open, it is its maker's."""
        self._loop.remove_reader(self._listening)
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _accept_some(self) -> None:
        for _ in range(ACCEPTS_A_TURN):
            try:
                accepted, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in EXHAUSTED:
                    self._rest()
                # anything else is that client's trouble: it left before it was accepted
                return
            self.accepted += 1
            try:
                tune(accepted)
            except OSError:
                accepted.close()
                continue
            task = self._loop.create_task(
                self._loop.connect_accepted_socket(self._protocol_factory, accepted)
            )
            self._connecting.add(task)
            task.add_done_callback(self._connected)

    def _connected(self, task: asyncio.Task[object]) -> None:
        self._connecting.discard(task)
        if not task.cancelled():
            task.exception()  # a client that left meanwhile; its transport is closed already

    def _rest(self) -> None:
        self.exhausted += 1
        self._loop.remove_reader(self._listening)
        self._pause = self._loop.call_later(PAUSE_S, self.start)
