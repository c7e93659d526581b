"""What the kernel keeps for the sockets of a port: sock_diag(7), which needs no privileges."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST_DUMP = 0x301
NLMSG_ERROR = 2
NLMSG_DONE = 3
INET_DIAG_SKMEMINFO = 7
TCP_ESTABLISHED = 1

HEADER = struct.Struct("=IHHII")
REQUEST = struct.Struct("=BBBxI")
PORTS = struct.Struct("!HH")
ADDRESSES = bytes(44)
MESSAGE_BYTES = 72
ATTRIBUTE = struct.Struct("=HH")
MEMORY = struct.Struct("=9I")


class SocketMemory(NamedTuple):
    """In the kernel's order."""

    received: int
    receive_limit: int
    in_flight: int
    send_limit: int
    reserved: int
    queued: int
    options: int
    backlog: int
    drops: int

    @property
    def held(self) -> int:
        """Received and not read, sent and not acknowledged or not sent yet, and set aside."""
        return self.received + self.queued + self.reserved + self.options + self.backlog


def socket_memory(port: int) -> dict[int, SocketMemory]:
    """Of the established TCP sockets whose own port this is, by the peer's port."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as diagnosis:
        wanted = REQUEST.pack(
            socket.AF_INET, socket.IPPROTO_TCP, 1 << (INET_DIAG_SKMEMINFO - 1), 1 << TCP_ESTABLISHED
        )
        body = wanted + PORTS.pack(port, 0) + ADDRESSES
        size = HEADER.size + len(body)
        diagnosis.send(HEADER.pack(size, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST_DUMP, 0, 0) + body)
        return dict(_memories(diagnosis))


def _memories(diagnosis: socket.socket) -> Iterator[tuple[int, SocketMemory]]:
    while True:
        answer = diagnosis.recv(1 << 16)
        at = 0
        while at < len(answer):
            size, kind, *_ = HEADER.unpack_from(answer, at)
            if kind == NLMSG_DONE:
                return
            if kind == NLMSG_ERROR:
                raise OSError("the kernel does not answer sock_diag")
            yield from _memory(answer[at + HEADER.size : at + size])
            at += _aligned(size)


def _memory(message: bytes) -> Iterator[tuple[int, SocketMemory]]:
    _, peer_port = PORTS.unpack_from(message, 4)
    at = MESSAGE_BYTES
    while at < len(message):
        size, kind = ATTRIBUTE.unpack_from(message, at)
        if kind == INET_DIAG_SKMEMINFO:
            yield peer_port, SocketMemory(*MEMORY.unpack_from(message, at + ATTRIBUTE.size))
        at += _aligned(size)


def _aligned(size: int) -> int:
    return (size + 3) & ~3
