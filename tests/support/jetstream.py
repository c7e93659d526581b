"""JetStream for tests: servers that have it, and somebody who makes and unmakes streams.

Everything here blocks, like the rest of ``tests.support.nats``.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.support.nats import DEADLINE_S, NatsServer, Publisher, free_port

ANSWER_S = 2.0

# As the server numbers its errors: there is no leader, or not yet.
UNAVAILABLE = (10008, 10009)


def jetstream_config(store: Path, more: str = "") -> str:
    return f'jetstream {{ store_dir: "{store}", max_mem: 64MB, max_file: 1GB, {more} }}'


class JetStream(Publisher):
    """A client that speaks to JetStream's API."""

    def __init__(self, server: NatsServer, user: str = "", password: str = "") -> None:
        self._login = server, user, password
        self._asked = 0
        self._connect()

    def _connect(self) -> None:
        super().__init__(*self._login)
        self._socket.settimeout(ANSWER_S)
        self._inbox = f"_INBOX.{uuid.uuid4().hex}"
        self.send(f"SUB {self._inbox}.* 1\r\n".encode())

    def api(self, subject: str, question: object = None) -> dict[str, Any]:
        """An answer that is no refusal, asked for again while the server is not ready."""
        payload = b"" if question is None else json.dumps(question).encode()
        deadline = time.monotonic() + DEADLINE_S
        while True:
            found = self._answer_or_none(f"$JS.API.{subject}", payload)
            if found is not None and "error" not in found:
                return found
            unavailable = found is None or found["error"].get("err_code") in UNAVAILABLE
            assert unavailable and time.monotonic() < deadline, found
            time.sleep(0.05)

    def make(self, name: str, subjects: Sequence[str] = (), **config: Any) -> None:
        config = {"name": name, "storage": "file", "subjects": list(subjects), **config}
        self.api(f"STREAM.CREATE.{name}", config)

    def remove(self, name: str) -> None:
        self.api(f"STREAM.DELETE.{name}")

    def info(self, name: str, **question: Any) -> dict[str, Any]:
        return self.api(f"STREAM.INFO.{name}", question or None)

    def store(self, subject: str, payload: bytes = b"{}") -> int:
        """Publish, and return the sequence once it is stored."""
        found = self._answer(subject, payload)
        assert "error" not in found, found
        return int(found["seq"])

    def store_again(self, subject: str, payload: bytes = b"{}") -> None:
        """Publish until it is acknowledged: it may be stored more than once."""
        deadline = time.monotonic() + DEADLINE_S
        while "error" in (self._answer_or_none(subject, payload) or {"error": None}):
            assert time.monotonic() < deadline, "nothing is stored"
            time.sleep(0.05)

    def consumers(self, name: str) -> list[str]:
        return list(self.api(f"CONSUMER.NAMES.{name}")["consumers"] or ())

    def until(self, name: str, condition: Callable[[dict[str, Any]], object]) -> None:
        """Wait for a state of the stream."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition(found := self.info(name)):
            assert time.monotonic() < deadline, found
            time.sleep(0.01)

    def _answer_or_none(self, subject: str, payload: bytes) -> dict[str, Any] | None:
        try:
            return self._answer(subject, payload)
        except TimeoutError:
            self.__exit__()
            self._connect()  # what had come of an answer is lost
            return None

    def _answer(self, subject: str, payload: bytes) -> dict[str, Any]:
        self._asked += 1
        reply = f"{self._inbox}.{self._asked}"
        self.send(f"PUB {subject} {reply} {len(payload)}\r\n".encode() + payload + b"\r\n")
        while True:
            line = self._input.readline()
            assert line and not line.startswith(b"-ERR"), f"the server says {line!r}"
            tokens = line.split()
            if tokens[0] not in (b"MSG", b"HMSG"):
                continue
            size = int(tokens[-1])
            body = self._input.read(size + 2)[:size]
            if tokens[1] == reply.encode():
                head = int(tokens[-2]) if tokens[0] == b"HMSG" else 0
                return dict(json.loads(body[head:] or b'{"error": {"description": "nobody"}}'))


class Load:
    """Publishes numbers on the subjects, 0, 1, 2, as fast as a thread can, until it is stopped.

    What streams store comes later: nothing here waits for it.
    """

    def __init__(self, server: NatsServer, subjects: Sequence[str], login: Any = None) -> None:
        self.published = dict.fromkeys(subjects, 0)
        self._server = server
        self._login = login or {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._publish)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def rounds(self) -> int:
        return min(self.published.values())

    def stop(self) -> None:
        """When this returns the server has all of it."""
        self._over.set()
        self._thread.join()

    def _publish(self) -> None:
        with Publisher(self._server, **self._login) as publisher:
            while not self._over.is_set():
                for subject, number in self.published.items():
                    publisher.publish(subject, b"%d" % number)
                    self.published[subject] = number + 1
                publisher.flush()


def cluster(
    directory: Path, size: int = 3, name: str = "test", more: Sequence[str] = ()
) -> list[NatsServer]:
    """Servers of one cluster, not yet started; ``more``: of the configuration, for each of them."""
    ports = [free_port() for _ in range(size)]
    routes = ", ".join(f"nats://127.0.0.1:{port}" for port in ports)
    servers = []
    for number, port in enumerate(ports):
        config = (
            f"cluster {{ name: {name}, listen: 127.0.0.1:{port}, routes: [{routes}] }}\n"
            + jetstream_config(directory / f"store-{name}-{number}")
            + "".join(f"\n{text}" for text in more[number : number + 1])
        )
        servers.append(NatsServer(directory / f"node-{name}-{number}", config))
    return servers


def joined_clusters(directory: Path, names: Sequence[str], size: int) -> list[list[NatsServer]]:
    """Clusters, joined by gateways, as regions are: one JetStream, each stream in one of them."""
    ports = {name: [free_port() for _ in range(size)] for name in names}
    doors = ", ".join(
        f"{{ name: {name}, urls: [{', '.join(f'nats://127.0.0.1:{port}' for port in mine)}] }}"
        for name, mine in ports.items()
    )
    return [
        cluster(
            directory,
            size,
            name,
            [
                f"gateway {{ name: {name}, listen: 127.0.0.1:{port}, gateways: [{doors}] }}"
                for port in ports[name]
            ],
        )
        for name in names
    ]
