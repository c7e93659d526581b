"""Where a gateway's admin port is, and what its answers mean."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from wsgate.settings import Settings
from wsgate.tools.admin_port import DEFAULTS, AddressUnknown, AdminPort, Answer, Unreachable
from wsgate.tools.healthcheck import ask, healthcheck, judge


@contextmanager
def listener(serve: Callable[[socket.socket], object]) -> Iterator[AdminPort]:
    """Somebody who listens, and does this with the first who comes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            connection, _ = server.accept()
            with connection:
                serve(connection)

        thread = Thread(target=accept)
        thread.start()
        yield AdminPort("127.0.0.1", server.getsockname()[1])
        thread.join()


def answering(text: bytes) -> Callable[[socket.socket], object]:
    def serve(connection: socket.socket) -> None:
        while b"\r\n\r\n" not in connection.recv(65536):
            pass
        connection.sendall(text)

    return serve


def test_the_defaults_are_those_of_the_settings() -> None:
    fields = Settings.model_fields
    assert {name: str(fields[name.lower()].default) for name in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, "http://127.0.0.1:3003"),
        ({"WS_HOST": "", "WS_ADMIN_PORT": ""}, "http://127.0.0.1:3003"),
        ({"WS_HOST": "::", "WS_ADMIN_PORT": "9000"}, "http://[::1]:9000"),
        ({"ws_host": "10.0.0.7", "Ws_Admin_Port": " 9000 "}, "http://10.0.0.7:9000"),
    ],
)
def test_where_the_settings_say_it_is(environment: dict[str, str], url: str) -> None:
    assert AdminPort.of_environment(environment).url == url


@pytest.mark.parametrize("port", ["0", "x", "-1", "65536", "3.5"])
def test_a_port_that_says_nothing(port: str) -> None:
    with pytest.raises(AddressUnknown, match=f"WS_ADMIN_PORT.*{port}"):
        AdminPort.of_environment({"WS_ADMIN_PORT": port})


@pytest.mark.parametrize(
    ("url", "admin_port"),
    [
        ("http://host.test:9000", ("host.test", 9000)),
        ("http://host.test:9000/", ("host.test", 9000)),
        ("host.test", ("host.test", 3003)),
        ("http://[::1]:9000", ("::1", 9000)),
    ],
)
def test_urls(url: str, admin_port: tuple[str, int]) -> None:
    assert AdminPort.of_url(url) == admin_port


@pytest.mark.parametrize("url", ["https://host.test", "http://", "http://h:x", "http://h/metrics"])
def test_what_is_no_url_of_an_admin_port(url: str) -> None:
    with pytest.raises(AddressUnknown, match="expected is like"):
        AdminPort.of_url(url)


def test_an_answer() -> None:
    text = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nnope"
    with listener(answering(text)) as admin_port:
        assert admin_port.get("/", 5.0) == (503, b"nope")


def test_why_there_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        admin_port = AdminPort("127.0.0.1", silent.getsockname()[1])
        with pytest.raises(Unreachable, match=r"/healthz: no answer within 0\.1 s"):
            admin_port.get("/healthz", 0.1)
    with pytest.raises(Unreachable, match="Connection refused"):
        admin_port.get("/", 5.0)
    with (
        listener(answering(b"-ERR 'Unknown Protocol Operation'\r\n")) as admin_port,
        pytest.raises(Unreachable, match="does not speak HTTP"),
    ):
        admin_port.get("/", 5.0)


@pytest.mark.parametrize(
    ("answer", "good", "reason"),
    [
        (Answer(200, b"ok\n"), True, "URL says ok"),
        (Answer(503, b'{"ill":["no worker"]}'), False, "URL says ill: no worker"),
        (Answer(503, b'{"not_ready":["a","b"]}'), False, "URL says not_ready: a, b"),
        (Answer(503, b"<html>"), False, "URL answers 503: is it a gateway's WS_ADMIN_PORT?"),
        (Answer(404, b"{}"), False, "URL answers 404: is it a gateway's WS_ADMIN_PORT?"),
        (Answer(404, b"[1]"), False, "URL answers 404: is it a gateway's WS_ADMIN_PORT?"),
    ],
)
def test_what_answers_mean(answer: Answer, good: bool, reason: str) -> None:
    assert judge("URL", answer) == (good, reason)


def test_a_wrong_setting_is_a_reason() -> None:
    health = ask({"WS_ADMIN_PORT": "http"}, "/healthz", 1.0)
    assert not health.good
    assert "WS_ADMIN_PORT" in health.reason


def test_one_line_and_the_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WS_HOST", "127.0.0.1")
    for arguments, asked in (([], b"/healthz"), (["--ready", "--json"], b"/readyz")):
        heads: list[bytes] = []

        def serve(connection: socket.socket, heads: list[bytes] = heads) -> None:
            heads.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")

        with listener(serve) as admin_port:
            monkeypatch.setenv("WS_ADMIN_PORT", str(admin_port.port))
            assert healthcheck(arguments) == 0
        assert heads[0].startswith(b"GET %s HTTP/1.1\r\n" % asked)
        output = capsys.readouterr().out
        if arguments:
            assert json.loads(output)["healthy"] is True
        else:
            assert output == f"healthy: {admin_port.url}/healthz says ok\n"
    assert healthcheck([]) == 1
    assert capsys.readouterr().out.startswith("unhealthy: ")


@pytest.mark.parametrize("timeout", ["0", "-1", "nan", "x"])
def test_a_timeout_that_is_none(timeout: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        healthcheck(["--timeout", timeout])
    assert ended.value.code == 2
    assert "--timeout" in capsys.readouterr().err


def test_the_file_of_settings_says_where_it_is_unless_the_environment_does(tmp_path: Path) -> None:
    path = tmp_path / "wsgate.toml"
    path.write_text('ws_host = "127.0.0.2"\nws_admin_port = 4003\n')
    assert AdminPort.of_environment({"WS_CONFIG": str(path)}) == ("127.0.0.2", 4003)
    of_both = AdminPort.of_environment({"WS_CONFIG": str(path), "WS_ADMIN_PORT": "5003"})
    assert of_both == ("127.0.0.2", 5003)
    path.write_text("ws_host =")
    with pytest.raises(AddressUnknown, match=r"WS_CONFIG: .* cannot be read"):
        AdminPort.of_environment({"WS_CONFIG": str(path)})
