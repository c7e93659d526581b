"""Real sockets whose other ends are read, and never waited on, by another process.

A reader that sleeps is woken at the sender's expense, which hides all else: this one spins. It says
through shared memory how much it has read.

    python -m benchmarks.micro.readers PORT COUNT TALLY
"""

from __future__ import annotations

import mmap
import os
import resource
import select
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[2]
SPARE_DESCRIPTORS = 200
PATIENCE_S = 60
TALLY = struct.Struct("=Q")


class Readers:
    """`count` connected TCP sockets over loopback, for as long as the context lasts."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._sockets: list[socket.socket] = []

    @staticmethod
    def limit() -> int:
        """How many there may be; raises the soft limit on descriptors to the hard one."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return sys.maxsize if hard == resource.RLIM_INFINITY else hard - SPARE_DESCRIPTORS

    @property
    def descriptors(self) -> list[int]:
        """The sending ends."""
        return [sock.fileno() for sock in self._sockets]

    def keep_to(self, cores: set[int]) -> None:
        """Let the other process run there only."""
        os.sched_setaffinity(self._process.pid, cores)

    def received(self) -> int:
        """How many bytes were read so far, over all sockets."""
        return TALLY.unpack_from(self._tally)[0]

    def wait(self, total: int) -> None:
        """Until `total` bytes have been read."""
        deadline = monotonic() + PATIENCE_S
        while self.received() < total:
            if self._process.poll() is not None or monotonic() > deadline:
                raise RuntimeError(f"{self.received()} of {total} bytes were read")
            sleep(0)

    def __enter__(self) -> Self:
        with tempfile.NamedTemporaryFile() as shared, socket.socket() as listener:
            shared.truncate(TALLY.size)
            self._tally = mmap.mmap(shared.fileno(), TALLY.size)
            listener.bind(("127.0.0.1", 0))
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listener.listen(4096)
            listener.settimeout(PATIENCE_S)
            port = listener.getsockname()[1]
            command = [sys.executable, "-m", __name__, str(port), str(self._count), shared.name]
            self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE)
            try:
                self._accept(listener)
            except BaseException:
                self.__exit__(None, None, None)
                raise
        return self

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(self._count):
            sock, _ = listener.accept()
            sock.setblocking(False)
            self._sockets.append(sock)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        for sock in self._sockets:
            sock.close()
        self._tally.close()


def read_for_ever(port: int, count: int, tally: mmap.mmap) -> None:
    """Connect `count` times and read what comes, until the parent ends, and standard input too."""
    Readers.limit()
    ready = select.epoll()
    parent = sys.stdin.fileno()
    ready.register(parent, select.EPOLLIN | select.EPOLLHUP)
    opened = []
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        # No TIME_WAIT: thousands of ports would be missing at the next run.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.setblocking(False)
        ready.register(sock, select.EPOLLIN)
        opened.append(sock)
    total = 0
    read = os.read
    while True:
        for descriptor, _ in ready.poll(0, 1024):
            if descriptor == parent:
                return
            total += len(read(descriptor, 65536))
        TALLY.pack_into(tally, 0, total)


if __name__ == "__main__":
    with Path(sys.argv[3]).open("r+b") as file:
        read_for_ever(int(sys.argv[1]), int(sys.argv[2]), mmap.mmap(file.fileno(), TALLY.size))
