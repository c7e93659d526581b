"""`wsgate demo` as a newcomer runs it: a real process, a page to open, prices that move."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from wsgate.tools.demo.nats_server import find_nats_server

DEADLINE_S = 60.0
WSGATE = Path(sys.executable).parent / "wsgate"
ANY_PORTS = ("--port", "0", "--admin-port", "0", "--page-port", "0")

needs_nats = pytest.mark.skipif(find_nats_server() is None, reason="no nats-server here")


class Demo:
    """A running demo, and what it said when it started."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.start_text = self._read_start_text()
        self.page_url = self._found(r"http://\S+")
        self.gateway_url = self._found(r"ws://[^\s\"]+")

    def stop(self, signum: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """The exit status, and what it said on the way out."""
        self.process.send_signal(signum)
        rest, _ = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, rest

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.page_url + path, timeout=DEADLINE_S) as answer:
            return bytes(answer.read())

    @contextmanager
    def subscriber(self, *channels: str) -> Iterator[ClientConnection]:
        with connect(
            self.gateway_url,
            subprotocols=[Subprotocol("wsgate.v1")],
            proxy=None,
            max_queue=None,  # a bounded queue that is full would keep the close from being seen
        ) as connection:
            connection.send(json.dumps({"type": "subscribe", "channels": channels}))
            yield connection

    def _read_start_text(self) -> str:
        """All up to the line that says how to stop; its end, should the demo end instead."""
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith("Ctrl-C"):
                return "".join(lines)
        raise AssertionError(f"the demo ended, status {self.process.wait()}:\n{''.join(lines)}")

    def _found(self, pattern: str) -> str:
        match = re.search(pattern, self.start_text)
        assert match, self.start_text
        return match[0]


@contextmanager
def running_demo(*options: str) -> Iterator[Demo]:
    with subprocess.Popen(
        [WSGATE, "demo", *ANY_PORTS, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield Demo(process)
        finally:
            if process.poll() is None:
                process.terminate()
                process.communicate(timeout=DEADLINE_S)


def messages_until(connection: ClientConnection, wanted: str) -> list[dict[str, Any]]:
    """Everything received up to and with the first message of the type or channel `wanted`."""
    deadline = time.monotonic() + DEADLINE_S
    received = []
    while True:
        message = json.loads(connection.recv(timeout=deadline - time.monotonic()))
        received.append(message)
        if wanted in (message["type"], message.get("channel")):
            return received


def assert_moves(demo: Demo) -> None:
    """A client sees the whole market, and then one token's price in motion."""
    with demo.subscriber("token.*.update") as everything:
        first = messages_until(everything, "token_update")[-1]
    with demo.subscriber(first["channel"]) as one:
        shown = messages_until(one, first["channel"])[-1]
        updated = messages_until(one, first["channel"])[-1]
    assert updated["seq"] > shown["seq"] >= 1
    assert updated["data"]["id"] == first["channel"].split(".")[1]
    assert updated["data"]["last_action_time"] > shown["data"]["last_action_time"]


@needs_nats
def test_prices_move_through_a_real_nats_server() -> None:
    with running_demo("--rate", "500") as demo:
        assert "a real nats-server" in demo.start_text
        assert_moves(demo)
        status, rest = demo.stop()
        assert status == 0
        assert "Traceback" not in rest
        assert "Stopped." in rest


def test_prices_move_without_a_nats_server_and_the_start_says_so() -> None:
    with running_demo("--rate", "500", "--in-process") as demo:
        assert "feeding the hub in-process" in demo.start_text
        assert "nats://" not in demo.start_text
        assert_moves(demo)
        assert demo.stop(signal.SIGTERM)[0] == 0


def test_a_newcomer_sees_every_token_the_trending_list_and_comments() -> None:
    with (
        running_demo("--rate", "500", "--in-process") as demo,
        demo.subscriber("token.*.update", "token.*.comment", "global.trending") as page,
    ):
        received = messages_until(page, "global.trending")
        assert received[0]["type"] == "subscribed"
        assert "errors" not in received[0]
        trending = received[-1]["data"]["trending"]
        assert len(trending) == 10
        received += messages_until(page, "token_comment")
        tokens: set[str] = set()
        while len(tokens) < 100:
            tokens |= {m["channel"] for m in received if m["type"] == "token_update"}
            received = messages_until(page, "token_update")


def test_the_page_is_served_whole_and_knows_the_gateway() -> None:
    with running_demo("--in-process") as demo:
        html = demo.get("/").decode()
        for name in re.findall(r'(?:src|href)="([^":]+)"', html):
            assert demo.get(f"/{name}"), name
        for name in re.findall(r'from "\./([^"]+)"', demo.get("/app.js").decode()):
            assert demo.get(f"/{name}"), name
        config = json.loads(demo.get("/config.json"))
        assert config["url"] == demo.gateway_url
        with pytest.raises(urllib.error.HTTPError, match="404"):
            demo.get("/no-such-file")


def test_the_page_finds_the_gateway_by_the_name_that_it_was_reached_by() -> None:
    with running_demo("--in-process") as demo:
        request = urllib.request.Request(f"{demo.page_url}/config.json")
        request.add_header("Host", "laptop.example:9999")
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            url = json.load(answer)["url"]
        assert url == f"ws://laptop.example:{demo.gateway_url.rsplit(':', 1)[1]}"


@needs_nats
def test_the_example_publishes_what_subscribers_get() -> None:
    with running_demo() as demo, demo.subscriber("token.hello.comment") as page:
        messages_until(page, "subscribed")
        command = next(line for line in demo.start_text.splitlines() if "demo.publish" in line)
        subprocess.run(command, shell=True, check=True, timeout=DEADLINE_S)
        comment = messages_until(page, "token.hello.comment")[-1]
        assert comment["data"] == {"user": "you", "text": "Hello, browsers!"}


@needs_nats
def test_nats_killed_comes_back_and_nobody_is_disconnected() -> None:
    with running_demo("--rate", "500") as demo, demo.subscriber("token.*.update") as page:
        messages_until(page, "token_update")
        match = re.search(r"process (\d+)", demo.start_text)
        assert match
        os.kill(int(match[1]), signal.SIGKILL)
        outage = messages_until(page, "feed")[-1]
        assert outage["state"] == "stale"
        back = messages_until(page, "feed")[-1]
        assert back["state"] == "live"
        messages_until(page, "token_update")
        assert demo.stop()[0] == 0


@pytest.mark.parametrize("option", ["--port", "--admin-port", "--page-port"])
def test_a_busy_port_is_reported_with_the_option_that_changes_it(option: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as squatter:
        port = str(squatter.getsockname()[1])
        options = [*ANY_PORTS, option, port]
        ended = subprocess.run(
            [WSGATE, "demo", *options], capture_output=True, text=True, timeout=DEADLINE_S
        )
    assert ended.returncode == 2
    assert option in ended.stderr
    assert port in ended.stderr
    assert "Traceback" not in ended.stderr
