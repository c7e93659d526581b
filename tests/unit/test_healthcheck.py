"""Where a gateway's admin port is, and what its answers mean."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.command import DEADLINE_S, command, environment, wsgate
from wsgate.settings import Settings
from wsgate.settings.reading import ConfigError, load
from wsgate.tools.admin_port import (
    DEFAULTS,
    LOOPBACK_OF,
    AddressUnknown,
    AdminPort,
    Answer,
    Unreachable,
)
from wsgate.tools.healthcheck import ask, healthcheck, judge


@contextmanager
def listener(
    serve: Callable[[socket.socket], object], host: str = "127.0.0.1"
) -> Iterator[AdminPort]:
    """Somebody who listens, and does this with the first who comes."""
    flags = socket.AI_PASSIVE
    family, *_, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=flags)[0]
    with socket.create_server(address[:2], family=family) as server:

        def accept() -> None:
            connection, _ = server.accept()
            with connection:
                serve(connection)

        thread = Thread(target=accept)
        thread.start()
        yield AdminPort(host, server.getsockname()[1])
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


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_answer_that_cannot_be_written_is_no_good_one(unbuffered: str) -> None:
    text = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"
    with listener(answering(text)) as there, Path("/dev/full").open("w") as full:
        settings = {"WS_ADMIN_PORT": there.port, "PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run(
            command("healthcheck"),
            env=environment(**settings),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=DEADLINE_S,
        )
    assert done.returncode == 1
    assert done.stderr == "wsgate: cannot write to standard output: No space left on device\n"


def test_what_is_no_text_is_shown_too() -> None:
    done = wsgate("healthcheck", WS_HOST=os.fsdecode(b"\xff"))
    assert done.returncode == 1
    assert done.stdout.startswith("unhealthy: http://\\udcff:3003/healthz: ")
    assert done.stderr == ""


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


# ------------------------------------------------------------------- the settings as serve has them


def of_serve(environment: dict[str, str]) -> tuple[str, int] | None:
    """Where `wsgate serve` would have its admin port; None if it would not start."""
    with patch.dict(os.environ, environment, clear=True):
        path = os.environ.get("WS_CONFIG")
        try:
            settings = load(Path(path) if path else None).settings
        except ConfigError:
            return None
    return settings.ws_host, settings.ws_admin_port


def assert_agreement(environment: dict[str, str]) -> bool:
    """False if serve would not start, and there is nothing to agree on."""
    served = of_serve(environment)
    if served is None:
        return False
    host, port = served
    if port == 0:  # any free one
        with pytest.raises(AddressUnknown, match="WS_ADMIN_PORT is 0"):
            AdminPort.of_environment(environment)
    else:
        found = AdminPort.of_environment(environment)
        assert found == (LOOPBACK_OF.get(host, host), port)
    return True


PORTS = [
    *("", "4003", " 4003", "4003\n", "\t4003\u00a0", "+4003", "4_003", "04003", "0_4003"),
    *("+04_0_03", "4003.0", " +4_003.00 ", "0", "00", "-0", "0_0.0", "65535"),
    "0" * 5000 + "4003",
]
NO_PORTS = [
    *(" ", "4__003", "_4003", "4003.", "4003.5", "4e3", "0xfa3", "-1", "-4003", "65536", "'4003'"),
    *('"4003"', "\u0664\u0660\u0660\u0663"),
]
HOSTS = [
    *("", "0.0.0.0", "0", "::", "::0", "0:0:0:0:0:0:0:0", "127.0.0.1", "::1", "fe80::1%lo"),
    *("localhost", "'10.0.0.7'", "[::1]", "*", "gateway-7.example"),
]
NO_HOSTS = [" ", " 10.0.0.7", "10.0.0.7\n", "a b", "10.0.0.0/8"]
# As a file has them beside text.
NUMBERS = ["4003", "4_003", "+4003", "0xfa3", "0o7643", "4003.0", "4.003e3", "0", "-0", "0.0"]
NO_NUMBERS = ["true", "-1", "4003.5", "[4003]", "inf", "nan", "2020-01-01", "99999999999999999999"]


@pytest.mark.parametrize(("name", "values"), [("WS_ADMIN_PORT", PORTS), ("WS_HOST", HOSTS)])
def test_all_that_serve_takes_is_understood(name: str, values: list[str], tmp_path: Path) -> None:
    path = tmp_path / "wsgate.toml"
    for value in values:
        assert assert_agreement({name: value}), value
        assert assert_agreement({name.lower(): value}), value
        text = json.dumps(value, ensure_ascii=False)
        path.write_text(f"{name.lower()} = {text}\r\n", encoding="utf-8")
        assert assert_agreement({"WS_CONFIG": str(path)}), value


def test_numbers_in_a_file_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "wsgate.toml"
    for number in NUMBERS:
        path.write_text(f"ws_admin_port = {number}\n")
        assert assert_agreement({"WS_CONFIG": str(path)}), number
        assert assert_agreement({"WS_CONFIG": str(path), "WS_ADMIN_PORT": ""}), number


def test_a_port_that_serve_does_not_take_is_none_here_either(tmp_path: Path) -> None:
    path = tmp_path / "wsgate.toml"
    in_file = [*NO_NUMBERS, *map(json.dumps, NO_PORTS)]
    for port in NO_PORTS:
        assert not assert_agreement({"WS_ADMIN_PORT": port}), port
        with pytest.raises(AddressUnknown, match="WS_ADMIN_PORT: got "):
            AdminPort.of_environment({"WS_ADMIN_PORT": port})
    for text in in_file:
        path.write_text(f"ws_admin_port = {text}\n")
        assert not assert_agreement({"WS_CONFIG": str(path)}), text
        with pytest.raises(AddressUnknown, match="WS_ADMIN_PORT: got "):
            AdminPort.of_environment({"WS_CONFIG": str(path)})


PORT_TEXTS = st.sampled_from(PORTS + NO_PORTS) | st.text("0034_+-. \t\"'", max_size=9)
HOST_TEXTS = st.sampled_from(HOSTS + NO_HOSTS)
LITERALS = st.sampled_from(NUMBERS + NO_NUMBERS) | PORT_TEXTS.map(json.dumps)


@given(
    environment=st.dictionaries(
        st.sampled_from(["WS_ADMIN_PORT", "ws_admin_port", "Ws_Admin_Port"]), PORT_TEXTS
    ),
    host=st.none() | HOST_TEXTS,
    port_in_file=st.none() | LITERALS,
    host_in_file=st.none() | HOST_TEXTS.map(json.dumps),
    named=st.sampled_from(["WS_CONFIG", "ws_config"]),
)
def test_environment_and_file_together_are_understood(
    environment: dict[str, str],
    host: str | None,
    port_in_file: str | None,
    host_in_file: str | None,
    named: str,
) -> None:
    written = {"ws_admin_port": port_in_file, "ws_host": host_in_file}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "wsgate.toml"
        lines = [f"{name} = {value}\n" for name, value in written.items() if value is not None]
        path.write_text("".join(lines), encoding="utf-8")
        environment = {**environment, named: str(path)}
        if host is not None:
            environment["WS_HOST"] = host
        assert_agreement(environment)


@pytest.mark.parametrize("host", ["0.0.0.0", "0", "127.1", "localhost", "::", "::0", "::1"])
def test_who_listens_there_is_reached(host: str) -> None:
    text = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"
    try:
        with listener(answering(text), host) as there:
            environment = {"WS_HOST": host, "WS_ADMIN_PORT": str(there.port)}
            assert AdminPort.of_environment(environment).get("/healthz", 5.0) == (200, b"ok\n")
    except OSError as error:
        if ":" in host:
            pytest.skip(f"no IPv6 here: {error}")
        raise


@pytest.mark.parametrize("host", ["a..b", "x" * 300, "\udcff", "a\0b"])
def test_a_host_that_can_be_none_is_a_reason(host: str) -> None:
    with pytest.raises(Unreachable, match="there is no such host"):
        AdminPort(host, 1).get("/healthz", 5.0)


def test_a_file_that_would_never_end_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "wsgate.toml"
    os.mkfifo(path)
    with pytest.raises(AddressUnknown, match=r"WS_CONFIG: .* it is no regular file"):
        AdminPort.of_environment({"WS_CONFIG": str(path)})
