"""Sockets in: uvloop's own server on a listening socket that stays its maker's, watched."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from wsgate.edge.gathering import Gathering

CHECK_INTERVAL_S = 1.0
# libuv accepts one client for each server and round of the loop. With several on one socket, those
# who come together take each step together, which finds the caches warm, and share the round.
SERVERS = 8
LISTEN_BACKLOG = 4096  # clients that come back all at once wait in the kernel's queue
# What the kernel holds counts as backlog: left alone it takes megabytes for a client that reads
# nothing before it says no, and conflation would begin minutes late.
SEND_BUFFER_BYTES = 32 * 1024  # the kernel doubles it for its own book-keeping
NOTSENT_LOWAT_BYTES = 16 * 1024


def bound_accepted(listening: socket.socket) -> None:
    """Bound what the kernel may hold for each socket that will be accepted here: they inherit it.

    Set on each of them it would be three system calls a client. Small writes leave at once, which
    uvloop sees to besides.
    """
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOTSENT_LOWAT_BYTES)


class Acceptor:
    """Accepts on ``listening`` and hands each client to a protocol of ``protocol_factory``.

    The event loop accepts in C: doing it here, with ``connect_accepted_socket`` and a task for each
    client, made a handshake a fifth dearer. Out of descriptors libuv closes what it cannot serve,
    by a descriptor that it keeps for that; should it have lost that one, it gives the server up.
    So the servers are looked at once a second and made anew if one is gone: ``restarts`` counts
    that, ``accepted`` the clients.

    ``poll_descriptor`` is the event loop's, by which clients are gathered into small groups; -1:
    each is accepted as it comes.
    """

    def __init__(
        self,
        listening: socket.socket,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        *,
        poll_descriptor: int = -1,
    ) -> None:
        self._listening = listening
        self._protocol_factory = protocol_factory
        self._loop = asyncio.get_running_loop()
        self._poll_descriptor = poll_descriptor
        self._gathering: Gathering | None = None
        self._servers: list[asyncio.Server] = []
        self._check: asyncio.TimerHandle | None = None
        self._restarting: asyncio.Task[None] | None = None
        self.accepted = 0
        self.restarts = 0

    async def start(self) -> None:
        """Begin to accept."""
        for _ in range(SERVERS if self._poll_descriptor >= 0 else 1):
            # A copy of the descriptor: closing the server then leaves the listening socket open.
            # The server listens anew: without a backlog of ours, with one of 100.
            server = await self._loop.create_server(
                self._protocol, sock=self._listening.dup(), backlog=LISTEN_BACKLOG
            )
            self._servers.append(server)
        if self._poll_descriptor >= 0:
            listening = [server.sockets[0].fileno() for server in self._servers]
            self._gathering = Gathering(self._loop, self._poll_descriptor, listening)
        self._check = self._loop.call_later(CHECK_INTERVAL_S, self._look)

    def stop(self) -> None:
        """Accept no more."""
        if self._check is not None:
            self._check.cancel()
        if self._restarting is not None:
            self._restarting.cancel()
        self._close_servers()

    def _close_servers(self) -> None:
        if self._gathering is not None:
            self._gathering.stop()
            self._gathering = None
        for server in self._servers:
            server.close()
        self._servers.clear()

    def _protocol(self) -> asyncio.BaseProtocol:
        self.accepted += 1
        if self._gathering is not None:
            self._gathering.accepted()
        return self._protocol_factory()

    def _look(self) -> None:
        if self._alive():
            self._check = self._loop.call_later(CHECK_INTERVAL_S, self._look)
        else:
            self._restarting = self._loop.create_task(self._restart())

    def _alive(self) -> bool:
        try:
            return all(server.sockets for server in self._servers)
        except RuntimeError:  # uvloop's word for a handle that is closed
            return False

    async def _restart(self) -> None:
        self.restarts += 1
        self._close_servers()
        try:
            await self.start()
        except OSError:  # still no descriptors
            self._close_servers()
            self._check = self._loop.call_later(CHECK_INTERVAL_S, self._look)
