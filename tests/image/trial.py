"""Runs what is in an image as an engine would, and says what goes wrong."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO
from urllib.error import URLError
from urllib.request import urlopen

from tests.image.bare import Bare
from tests.image.contents import Signature, snapshot
from tests.image.recipe import Settings
from tests.image.room import Inmate, Room, until
from tests.support.processes import children, state

START_S = 60.0
STOP_S = 10.0
ASK_S = 5.0


class Failed(Exception):
    """It does not do what an image has to; the text says what."""


def run(
    image: Room | Bare,
    settings: Settings,
    *,
    writable: bool,
    start_s: float = START_S,
    stop_s: float = STOP_S,
) -> None:
    """From the start to SIGTERM. Raises Failed.

    Within ``start_s`` it has to serve, and to replace what is killed; within ``stop_s`` to end.
    """
    before = snapshot(image.root)
    with closing(_Container(image, settings, start_s, writable=writable)) as container:
        container.serves()
        container.has_workers()
        if image.isolated:
            container.is_the_first_process()
            container.reaps_orphans()
        container.is_healthy()
        container.replaces_a_worker()
        container.stops(stop_s)
        container.is_not_healthy()
    changed = _changed(before, snapshot(image.root))
    if changed:
        raise Failed(f"it wrote into its root: {', '.join(changed)}")


class _Container:
    def __init__(
        self, image: Room | Bare, settings: Settings, patience_s: float, *, writable: bool
    ) -> None:
        self._patience_s = patience_s
        self._image = image
        self._settings = settings
        self._port, self._admin_port = _free_ports(2)
        self._environment = {
            **settings.environment,
            "WS_HOST": "127.0.0.1",
            "WS_PORT": str(self._port),
            "WS_ADMIN_PORT": str(self._admin_port),
            "WS_DRAIN_DELAY_S": "0",
            "NATS_URL": "nats://127.0.0.1:1",
        }
        self._output = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = self._start(
            [*settings.entrypoint, *settings.command], writable=writable, output=self._output
        )

    def close(self) -> None:
        self._process.kill()
        self._output.close()

    # what it has to do

    def serves(self) -> None:
        self._wait(lambda: all(self._answers(port) for port in self._ports), "serve on both ports")
        print("   serves on both ports")

    def has_workers(self) -> None:
        self._wait(lambda: bool(self._workers), "have workers")
        print(f"   has workers: {len(self._workers)}")

    def is_the_first_process(self) -> None:
        user = self._settings.user.partition(":")[0]
        self._want(self._process.number() == 1, "be the first process")
        self._want(str(self._process.user()) == user, f"run as {user}")
        print(f"   is process 1, of user {user}")

    def reaps_orphans(self) -> None:
        """What a shell in the container leaves is its child, and nobody else's."""
        before = self._workers
        self._process.leave_orphan()
        self._wait(lambda: set(self._workers) <= set(before), "reap a process that it inherited")
        print("   reaps what it inherits")

    def is_healthy(self) -> None:
        status, text = self._ask_health()
        self._want(status == 0, f"be healthy; HEALTHCHECK says, with {status}:\n{text}")
        print("   HEALTHCHECK: healthy")

    def replaces_a_worker(self) -> None:
        """One that is killed is reaped; a first process has nobody who does it for him."""
        (victim, *_) = before = self._workers
        os.kill(victim, signal.SIGKILL)
        self._wait(
            lambda: len(self._workers) == len(before) and victim not in self._workers,
            "replace a worker that is killed",
        )
        self._wait(lambda: state(victim) == "", "reap a worker that is killed")
        self._wait(lambda: self._answers(self._port), "serve again")
        print("   replaces and reaps a worker that is killed")

    def stops(self, within_s: float) -> None:
        number = signal.Signals[self._settings.stop_signal]
        self._process.signal(number)
        try:
            status = self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise self._failed(f"stop within {within_s:g} s of {number.name}") from None
        self._want(status == 0, f"end with 0, not {status}, on {number.name}")
        print(f"   ends with 0 on {number.name}")

    def is_not_healthy(self) -> None:
        """A check that is always content is none."""
        status, text = self._ask_health()
        self._want(status == 1, f"be unhealthy when it is gone; HEALTHCHECK says {status}:\n{text}")
        print("   HEALTHCHECK, now that it is gone: not healthy")

    # how that is found out

    @property
    def _ports(self) -> tuple[int, int]:
        return self._port, self._admin_port

    @property
    def _workers(self) -> list[int]:
        return children(self._process.pid)

    def _answers(self, port: int) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=ASK_S) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def _ask_health(self) -> tuple[int, str]:
        health = self._settings.health
        if health is None:
            raise Failed("there is no HEALTHCHECK")
        with tempfile.TemporaryFile() as output:
            asked = self._start(health.command, writable=False, output=output)
            try:
                status = asked.wait(health.seconds("timeout"))
            except subprocess.TimeoutExpired:
                raise self._failed("answer HEALTHCHECK within its timeout") from None
            finally:
                asked.kill()
            output.seek(0)
            return status, output.read().decode()

    def _start(self, argv: Sequence[str], *, writable: bool, output: IO[bytes]) -> Inmate:
        return self._image.start(
            argv, self._environment, user=self._settings.user, writable=writable, output=output
        )

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        def settled() -> bool:
            return self._process.status is not None or condition()

        self._want(until(settled, self._patience_s) and self._process.status is None, what)

    def _want(self, come_true: bool, what: str) -> None:
        if not come_true:
            raise self._failed(what)

    def _failed(self, what: str) -> Failed:
        self._output.seek(0)
        return Failed(f"it did not {what}. What it said:\n{self._output.read().decode()}")


def _changed(before: Mapping[Path, Signature], after: Mapping[Path, Signature]) -> list[str]:
    both = sorted({*before, *after})
    return [f"/{path}" for path in both if before.get(path) != after.get(path)]


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
