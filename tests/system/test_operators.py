"""healthcheck, doctor and top as operators run them: real gateways, a real NATS server."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.support.certificates import Certificate
from tests.support.command import DEADLINE_S, command, environment, wsgate
from tests.support.nats import NatsServer, Publisher, nats_server
from tests.support.process import NOBODY, GatewayProcess, gateway_process, until
from wsgate.tools.admin_port import AdminPort
from wsgate.tools.top.figures import between
from wsgate.tools.top.scrape import scrape

__all__ = ["gateway_process", "nats_server"]  # fixtures

NewGateway = Callable[..., GatewayProcess]

CHANNEL = "token.abc.comment"
ANY_PORTS = {"WS_HOST": "127.0.0.1", "WS_PORT": "0", "WS_ADMIN_PORT": "0"}


def at(gateway: GatewayProcess) -> dict[str, str]:
    """The settings that say where its admin port is."""
    return {"WS_HOST": "127.0.0.1", "WS_ADMIN_PORT": str(gateway.admin_port)}


# ------------------------------------------------------------------------------------ healthcheck


def test_a_gateway_without_nats_is_healthy_and_not_ready(
    nats_server: NatsServer, gateway_process: NewGateway
) -> None:
    gateway = gateway_process(NATS_URL=nats_server.url).start()
    gateway.until_ready()
    for arguments in ((), ("--ready",)):
        done = wsgate("healthcheck", *arguments, **at(gateway))
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("healthy: ")
    nats_server.kill()
    until(lambda: gateway.get("/readyz")[0] == 503, "a gateway that is not ready")
    assert wsgate("healthcheck", **at(gateway)).returncode == 0
    done = wsgate("healthcheck", "--ready", "--json", **at(gateway))
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["healthy"] is False
    assert "nats: not connected" in told["reason"]


def test_a_gateway_that_is_gone_is_unhealthy(gateway_process: NewGateway) -> None:
    gateway = gateway_process().start()
    where = at(gateway)
    gateway.kill()
    done = wsgate("healthcheck", **where)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("unhealthy: ")
    assert done.stdout.endswith("Connection refused\n")


def test_typer_s_way_to_it_is_the_same(gateway_process: NewGateway) -> None:
    gateway = gateway_process().start()
    done = wsgate("--debug", "healthcheck", "--ready", "--json", **at(gateway))
    assert done.returncode == 1
    assert "nats: not connected" in json.loads(done.stdout)["reason"]


# ----------------------------------------------------------------------------------------- doctor


def examined(**settings: str) -> tuple[int, list[dict[str, str]]]:
    """Exit status, and findings."""
    done = wsgate("doctor", "--json", **{**ANY_PORTS, "NATS_URL": NOBODY, **settings})
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)["findings"]


def problems(findings: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(one["topic"], one["found"]) for one in findings if one["verdict"] == "problem"]


def test_nothing_is_wrong(nats_server: NatsServer, tmp_path: Path) -> None:
    certificate = Certificate(tmp_path)
    status, findings = examined(
        NATS_URL=nats_server.url,
        WS_TLS_CERT=str(certificate.path),
        WS_TLS_KEY=str(certificate.key_path),
        WS_AUTH="jwt",
        WS_JWT_SECRET="x" * 32,
        WS_MAX_CONNECTIONS="100",
        WS_MAX_HANDSHAKES="100",
    )
    assert (problems(findings), status) == ([], 0)
    (nats,) = [one for one in findings if one["topic"] == "NATS"]
    assert re.fullmatch(
        rf"{nats_server.url}: version 2\.\d+\.\d+, answers in [\d.]+ ms", nats["found"]
    )
    topics = {one["topic"] for one in findings}
    assert topics >= {"settings", "Python", "CPU", "memory", "open files", "kernel", "ports"}
    assert topics >= {"clock", "TLS", "tokens", "NATS"}


def test_a_port_that_somebody_has(nats_server: NatsServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        status, findings = examined(NATS_URL=nats_server.url, WS_ADMIN_PORT=str(port))
    assert status == 1
    ((topic, found),) = problems(findings)
    assert topic == "ports"
    assert found.startswith(f"WS_ADMIN_PORT={port} is held by process {os.getpid()} (")


def test_ports_of_a_gateway_that_runs(gateway_process: NewGateway) -> None:
    gateway = gateway_process().start()
    _, findings = examined(WS_PORT=str(gateway.port), WS_ADMIN_PORT=str(gateway.admin_port))
    told = [(one["verdict"], one["found"]) for one in findings if one["topic"] == "ports"]
    assert [verdict for verdict, _ in told] == ["ok", "ok"]
    workers = [one["pid"] for one in gateway.log if one["event"] == "worker started"]
    for _, found in told:
        match = re.search(r"is held by a gateway that runs, process (\d+) \(", found)
        assert match is not None and int(match[1]) in (gateway.pid, *workers)


def test_nats_that_is_not_there() -> None:
    status, findings = examined()
    assert status == 1
    ((topic, found),) = problems(findings)
    assert topic == "NATS"
    assert found.startswith(f"{NOBODY}: unreachable: ")


def test_one_server_of_two_is_not_there(nats_server: NatsServer) -> None:
    status, findings = examined(NATS_URL=f"{NOBODY},{nats_server.url}")
    told = {
        one["found"].split(": ")[0]: one["verdict"] for one in findings if one["topic"] == "NATS"
    }
    assert told == {NOBODY: "warning", nats_server.url: "ok"}
    assert status == 0


def test_nats_that_hangs(nats_server: NatsServer) -> None:
    nats_server.pause()
    status, findings = examined(NATS_URL=nats_server.url)
    assert status == 1
    assert problems(findings)[0][0] == "NATS"


def test_a_wrong_password_and_a_subject_that_is_denied(nats_server: NatsServer) -> None:
    nats_server.restart(
        'authorization { users: [ { user: gateway, password: "right-XYZZY",'
        ' permissions: { subscribe: "token.>" } } ] }'
    )
    wrong = {"NATS_URL": nats_server.url, "NATS_USER": "gateway", "NATS_PASSWORD": "wrong-XYZZY"}
    status, findings = examined(**wrong)
    assert status == 1
    ((topic, found),) = problems(findings)
    assert topic == "NATS"
    assert "login refused" in found
    assert "XYZZY" not in json.dumps(findings)

    status, findings = examined(**{**wrong, "NATS_PASSWORD": "right-XYZZY"})
    assert status == 1
    assert problems(findings) == [
        ("NATS", f"{nats_server.url} refuses the subscription to 'global.>'")
    ]


def test_an_expired_certificate(nats_server: NatsServer, tmp_path: Path) -> None:
    expired = Certificate(tmp_path, days=-1)
    files = {"WS_TLS_CERT": str(expired.path), "WS_TLS_KEY": str(expired.key_path)}
    status, findings = examined(NATS_URL=nats_server.url, **files)
    assert status == 1
    assert problems(findings) == [
        ("TLS", f"the certificate expired on {expired.expires:%Y-%m-%d %H:%M} UTC")
    ]
    soon = Certificate(tmp_path, days=3)
    files = {"WS_TLS_CERT": str(soon.path), "WS_TLS_KEY": str(soon.key_path)}
    status, findings = examined(NATS_URL=nats_server.url, **files)
    (told,) = [one for one in findings if one["topic"] == "TLS"]
    assert (told["verdict"], status) == ("warning", 0)


def test_keys_that_cannot_be_fetched(nats_server: NatsServer) -> None:
    status, findings = examined(
        NATS_URL=nats_server.url,
        WS_AUTH="jwt",
        WS_JWT_KEYS="http://user:secret-XYZZY@127.0.0.1:1/jwks.json",
    )
    assert status == 1
    ((topic, found),) = problems(findings)
    assert topic == "tokens"
    assert found.startswith("WS_JWT_KEYS cannot be used: ")
    assert "XYZZY" not in json.dumps(findings)


def test_wrong_settings_do_not_end_the_examination(nats_server: NatsServer) -> None:
    status, findings = examined(
        NATS_URL=nats_server.url, WS_AUTH="jwt", WS_JWT_KEYS="/nope.pem", WS_MAX_HANDSHAKES="-1"
    )
    assert status == 1
    assert [topic for topic, _ in problems(findings)] == ["settings", "tokens"]
    assert "ok" in [one["verdict"] for one in findings if one["topic"] == "NATS"]


def test_lines_for_people_have_no_colour_in_a_pipe() -> None:
    done = wsgate("doctor", **ANY_PORTS, NATS_URL=NOBODY)
    assert done.returncode == 1
    assert "\x1b" not in done.stdout
    assert re.search(
        r"^problem +NATS +nats://127\.0\.0\.1:1: unreachable", done.stdout, re.MULTILINE
    )
    assert re.search(r"^1 problem, \d+ warnings?, \d+ ok$", done.stdout, re.MULTILINE)


# -------------------------------------------------------------------------------------------- top


@contextmanager
def load(server: NatsServer, gateway: GatewayProcess) -> Iterator[None]:
    """Two clients of a channel, and publications on it without end."""
    stop, flowing = Event(), Event()

    def publish() -> None:
        with Publisher(server) as publisher:
            while not stop.wait(0.002):
                publisher.publish(CHANNEL, b'{"text": "%s"}' % (b"x" * 100))

    def read(url: str) -> None:
        with connect(url, proxy=None, compression=None) as client:
            client.send(json.dumps({"type": "subscribe", "channels": [CHANNEL]}))
            while not stop.is_set():
                client.recv()
                flowing.set()

    url = f"ws://127.0.0.1:{gateway.port}/"
    threads = [Thread(target=publish), *(Thread(target=read, args=(url,)) for _ in range(2))]
    readers = threads[1:]
    for thread in threads:
        thread.start()
    try:
        assert flowing.wait(DEADLINE_S)
        yield
    finally:
        stop.set()
        # Readers wait for one more publication each.
        while any(thread.is_alive() for thread in readers):
            with Publisher(server) as publisher:
                publisher.publish(CHANNEL)
                publisher.flush()
            readers[0].join(0.01)
        threads[0].join()


def test_figures_of_a_gateway_under_load(
    nats_server: NatsServer, gateway_process: NewGateway
) -> None:
    gateway = gateway_process(NATS_URL=nats_server.url).start()
    gateway.until_ready()
    with load(nats_server, gateway):
        gateway.until_metric("ws_connections_current", lambda current: current == 2)
        done = wsgate("top", "--once", "--json", "--interval", "0.5", **at(gateway))
        assert (done.returncode, done.stderr) == (0, "")
        found = json.loads(done.stdout)
        page = wsgate("top", "--once", "--interval", "0.2", **at(gateway)).stdout
    assert found["total"]["connections"] == 2
    assert found["total"]["messages_per_s"] > 0
    assert found["total"]["bytes_per_s"] > 100 * found["total"]["messages_per_s"]
    assert found["processes"]["0"]["cpu_percent"] >= 0
    assert found["processes"]["supervisor"]["memory_bytes"] > 10**6
    assert (found["feeds"], found["workers_serving"]) == ({"nats": "live"}, 1)
    assert 0.5 <= found["interval_s"] < DEADLINE_S
    (channel,) = found["channels"]
    assert (channel["name"], channel["subscribers"]) == (CHANNEL, 2)
    assert channel["publications_per_s"] > 0
    assert re.search(rf"{CHANNEL} +2 ", page)
    assert re.search(r"connections +2 ", page)
    assert re.search(r"feed nats +live ", page)
    assert "\x1b" not in page


def test_rates_are_not_negative_when_a_worker_is_replaced(gateway_process: NewGateway) -> None:
    gateway = gateway_process(WS_WORKERS=2).start()
    admin_port = AdminPort("127.0.0.1", gateway.admin_port)

    def worker() -> int:
        told = [one for one in gateway.log if one["event"] == "worker started"]
        return int([one["pid"] for one in told if one["worker"] == 0][-1])

    first = worker()
    for _ in range(3):
        with connect(f"ws://127.0.0.1:{gateway.port}/", proxy=None):
            pass
    before = scrape(admin_port)
    os.kill(first, signal.SIGKILL)
    until(lambda: worker() != first, "another worker")
    until(lambda: len(scrape(admin_port).processes) == 3, "metrics of both workers")
    snapshot = between(before, scrape(admin_port))
    assert snapshot.worker_deaths == 1
    for figures in (*snapshot.processes.values(), snapshot.total):
        assert figures.handshakes_per_s >= 0
        assert figures.cpu_percent >= 0


class Screen:
    """`wsgate top` on a terminal of its own."""

    def __init__(self, **settings: str) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            command("top", "--interval", "0.1"),
            env=environment(**settings, TERM="xterm", COLUMNS="100", LINES="40"),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.text = ""

    def until_shown(self, pattern: str) -> None:
        """From now on."""
        begin, deadline = len(self.text), time.monotonic() + DEADLINE_S
        while not re.search(pattern, self.text[begin:]):
            assert time.monotonic() < deadline, f"{pattern} is not shown:\n{self.text}"
            self._read()

    def end(self, signum: signal.Signals) -> int:
        """Its exit status."""
        self.process.send_signal(signum)
        while self._read():
            pass
        os.close(self._ours)
        return self.process.wait(DEADLINE_S)

    def _read(self) -> bool:
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # nobody has the other end any more
            return False
        self.text += data.decode(errors="replace")
        return bool(data)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_watching_a_gateway_that_goes_and_comes_back(
    gateway_process: NewGateway, signum: signal.Signals
) -> None:
    gateway = gateway_process().start()
    port = gateway.admin_port
    screen = Screen(**at(gateway))
    try:
        screen.until_shown(r"connections +0 ")
        gateway.kill()
        screen.until_shown(r"No gateway answers")
        again = gateway_process(WS_ADMIN_PORT=port).start()
        screen.until_shown(r"connections +0 ")
        assert screen.end(signum) == 0
        assert again.stop() == 0
    finally:
        screen.process.kill()
        screen.process.wait(DEADLINE_S)
    assert "Traceback" not in screen.text
    shown_cursor, left_screen = "\x1b[?25h", "\x1b[?1049l"
    assert shown_cursor in screen.text and left_screen in screen.text


def test_nothing_to_watch() -> None:
    where: dict[str, Any] = {"WS_HOST": "127.0.0.1", "WS_ADMIN_PORT": "1"}
    done = wsgate("top", "--json", **where)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "wsgate: http://127.0.0.1:1/metrics: Connection refused; is a gateway running there?"
        " See --url\n"
    )
    done = wsgate("top", **where)
    assert (done.returncode, done.stderr) == (
        2,
        "wsgate: this is no terminal: use --once or --json\n",
    )
