"""A real ``wsgate serve``, or ``wsgate aggregate``: another process, on free ports, watched through
what operators see.

    from tests.support.process import GatewayProcess, gateway_process  # the last is a fixture

Everything here blocks, for some milliseconds; the gateway runs on meanwhile.
"""

from __future__ import annotations

import http.client
import json
import os
import resource
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import UPGRADE
from tests.support.metrics import summed

DEADLINE_S = 30.0
OURS = ("WS_", "NATS_", "LOG_")
NOBODY = "nats://127.0.0.1:1"


class GatewayProcess:
    """``settings`` are environment variables; ports are any free ones unless they say otherwise.

    ``descriptors``: how many files it may have open at most.
    """

    command = "serve"
    up = "listening"
    """What it says when it is."""

    def __init__(
        self, directory: Path, *, descriptors: int | None = None, **settings: object
    ) -> None:
        defaults = {"WS_HOST": "127.0.0.1", "WS_PORT": 0, "WS_ADMIN_PORT": 0, "NATS_URL": NOBODY}
        defaults |= {"WS_WORKERS": 1, "WS_DRAIN_DELAY_S": 0}
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(OURS)},
            **{name: str(value) for name, value in {**defaults, **settings}.items()},
        }
        directory.mkdir(parents=True, exist_ok=True)
        self._output = directory / f"wsgate-{time.monotonic_ns()}.log"
        self._errors = self._output.with_suffix(".err")
        self._descriptors = descriptors
        self._process: subprocess.Popen[bytes] | None = None

    # its life

    def start(self) -> GatewayProcess:
        """Return when it listens; an AssertionError has what it said if it ends instead."""
        self.launch()
        until(lambda: self._listening() or self._ended(), "a gateway that listens")
        assert not self._ended(), self.errors
        return self

    def launch(self) -> None:
        def limit() -> None:
            if self._descriptors is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (self._descriptors,) * 2)

        with self._output.open("wb") as output, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "wsgate", self.command],
                stdout=output,
                stderr=errors,
                env=self._environment,
                preexec_fn=limit,
            )

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, timeout_s: float = DEADLINE_S) -> int:
        """Its exit status."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def stop(self) -> int:
        self.signal()
        return self.wait()

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(DEADLINE_S)

    def _ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    # what it says

    @property
    def log(self) -> list[dict[str, Any]]:
        """The events it has logged so far."""
        lines = self._output.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The events of this name so far."""
        return [one for one in self.log if one["event"] == event]

    @property
    def errors(self) -> str:
        """What it wrote to standard error."""
        return self._errors.read_text()

    def _listening(self) -> dict[str, Any]:
        return next((event for event in self.log if event["event"] == self.up), {})

    @property
    def port(self) -> int:
        return int(self._listening()["port"])

    @property
    def admin_port(self) -> int:
        return int(self._listening()["admin_port"])

    # what its clients' port says

    def asked_from(self, origin: str) -> int:
        """The status with which a page's handshake is answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            connection.request("GET", "/", headers={**UPGRADE, "Origin": origin})
            return connection.getresponse().status
        finally:
            connection.close()

    # what its admin port says

    def get(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.admin_port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=DEADLINE_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metrics(self) -> dict[str, float]:
        """Every sample, as ``summed`` has them."""
        status, text = self.get("/metrics")
        assert status == 200
        return summed(text)

    def metric(self, name: str) -> float:
        return self.metrics()[name]

    def until_ready(self) -> None:
        until(lambda: self.get("/readyz")[0] == 200, "a gateway that is ready")

    def until_metric(self, name: str, condition: Callable[[float], bool]) -> None:
        until(lambda: condition(self.metric(name)), f"{name} to be as it should")


class AggregatorProcess(GatewayProcess):
    """The same of what stands between backends and gateways."""

    command = "aggregate"
    up = "aggregating"

    def __init__(self, directory: Path, **settings: object) -> None:
        super().__init__(directory, **{"WS_AGGREGATE_FROM": "raw", **settings})


def until(condition: Callable[[], object], what: str) -> None:
    """Look again and again: another process cannot notify."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {DEADLINE_S:g} s for {what}"
        time.sleep(0.005)


@pytest.fixture
def gateway_process(tmp_path: Path) -> Iterator[Callable[..., GatewayProcess]]:
    """Makes gateways, to be started by the test; none of them outlives it."""
    made: list[GatewayProcess] = []

    def make(**settings: Any) -> GatewayProcess:
        made.append(GatewayProcess(tmp_path / "gateway", **settings))
        return made[-1]

    try:
        yield make
    finally:
        for gateway in made:
            gateway.kill()


@pytest.fixture
def aggregator_process(tmp_path: Path) -> Iterator[Callable[..., AggregatorProcess]]:
    """The same for aggregators."""
    made: list[AggregatorProcess] = []

    def make(**settings: Any) -> AggregatorProcess:
        made.append(AggregatorProcess(tmp_path / "aggregator", **settings))
        return made[-1]

    try:
        yield make
    finally:
        for aggregator in made:
            aggregator.kill()
