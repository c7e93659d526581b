"""Every channel of the publisher ends with the same counter, however seldom it is published on."""

from __future__ import annotations

import json
import subprocess

import pytest

from benchmarks.fanout.build import build
from tests.support.nats import NatsServer, nats_server
from tests.support.nats_reader import Reader

__all__ = ["nats_server"]


def publish(server: NatsServer, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(build("publisher")), f"--port={server.port}", "--per-template=3", *options]
    # Its input has to stay open: the end of it is the end of the publisher.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stderr
        out, error = process.stdout.read(), process.stderr.read()
        return subprocess.CompletedProcess(command, process.wait(30), out, error)


def counters(reader: Reader, subject: str) -> list[int]:
    return [json.loads(payload)["n"] for payload in reader.of(subject)]


def test_busy_and_quiet_channels_end_alike(nats_server: NatsServer) -> None:
    with Reader(nats_server, ">") as reader:
        templates = "--channels=busy.%u,quiet.%u,single"
        done = publish(nats_server, templates, "--rate=1000,100,250", "--count=50", "--first=11")
        published = json.loads(done.stdout)["published"]
        reader.until(lambda: len(reader.messages) == published, "all of them")
    busy, quiet = list(range(11, 61)), [*range(11, 16), 60]
    for number in range(3):
        assert counters(reader, f"busy.{number}") == busy
        assert counters(reader, f"quiet.{number}") == quiet
    assert counters(reader, "single") == [*range(11, 24), 60]


def test_one_rate_is_that_of_all(nats_server: NatsServer) -> None:
    with Reader(nats_server, ">") as reader:
        done = publish(nats_server, "--channels=a.%u,b", "--rate=1000", "--count=4")
        assert json.loads(done.stdout)["published"] == 16
        reader.until(lambda: len(reader.messages) == 16, "all of them")
    assert counters(reader, "a.2") == counters(reader, "b") == [1, 2, 3, 4]


@pytest.mark.parametrize("rate", ["0", "fast", "1,2", "1,-1,2", "1,2,3,4"])
def test_a_rate_that_is_none(nats_server: NatsServer, rate: str) -> None:
    done = publish(nats_server, "--channels=a.%u,b,c", f"--rate={rate}")
    assert done.returncode == 2 and "--rate must be" in done.stderr
