"""What the kernel says of a socket."""

from __future__ import annotations

import fcntl
import socket
import struct
from typing import NamedTuple

from benchmarks.slow.kernel import SocketMemory

SO_MEMINFO = 55
SIOCOUTQ = 0x5411


def memory(of: socket.socket) -> SocketMemory:
    size = 4 * len(SocketMemory._fields)
    found = of.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, size)
    return SocketMemory(*struct.unpack(f"={len(SocketMemory._fields)}I", found))


class Queue(NamedTuple):
    waiting: int
    limit: int


def accept_queue(of: socket.socket) -> Queue:
    """Of a listening socket: clients that wait to be accepted, and how many may."""
    info = of.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
    # tcpi_unacked and tcpi_sacked: for listening sockets the kernel puts these there.
    return Queue(*struct.unpack_from("=II", info, 24))


def unsent_or_unacknowledged(of: socket.socket) -> int:
    """Bytes that were written and that the peer has not confirmed."""
    (size,) = struct.unpack("=i", fcntl.ioctl(of.fileno(), SIOCOUTQ, b"\0" * 4))
    return int(size)
