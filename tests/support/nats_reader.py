"""A reader of a NATS server for tests: a thread that keeps all that comes, in order."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from threading import Thread

from tests.support.nats import DEADLINE_S, NatsServer
from tests.support.process import until


class Reader:
    """Subscribed when it is made; use it as a context manager. Ends with its server."""

    def __init__(self, server: NatsServer, *subjects: str) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S)
        self._input = self._socket.makefile("rb")
        self._confirmed = False
        options = json.dumps({"verbose": False})
        wishes = "".join(f"SUB {one} {sid}\r\n" for sid, one in enumerate(subjects, 1))
        self._thread = Thread(target=self._read, daemon=True)
        self._socket.sendall(f"CONNECT {options}\r\n{wishes}PING\r\n".encode())
        self._socket.settimeout(None)
        self._thread.start()
        until(lambda: self._confirmed, "a reader that is subscribed")

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(DEADLINE_S)
        self._input.close()
        self._socket.close()

    def of(self, subject: str) -> list[bytes]:
        return [payload for one, payload in list(self.messages) if one == subject]

    def until(self, condition: Callable[[], object], what: str) -> None:
        until(condition, f"{what}; the last that came: {self.messages[-5:]}")

    def until_last(self, subject: str, payload: bytes) -> None:
        """Until this is the latest of the subject."""
        self.until(lambda: self.of(subject)[-1:] == [payload], f"{payload!r} on {subject}")

    def _read(self) -> None:
        while line := self._input.readline():
            match line.split():
                case [b"MSG", subject, _, size]:
                    payload = self._input.read(int(size) + 2)[:-2]
                    self.messages.append((subject.decode(), payload))
                case [b"PING"]:
                    self._socket.sendall(b"PONG\r\n")
                case [b"PONG"]:
                    self._confirmed = True
