"""The file of settings, what goes before it, and what is said of it when it is wrong."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.certificates import Certificate
from tests.support.settings import only_environment
from wsgate.rules import Kind, Overflow, Rule
from wsgate.settings.reading import ConfigError, load

Write = Callable[[str], Path]


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    only_environment(monkeypatch)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the file, and says where it is."""

    def to_file(text: str) -> Path:
        path = tmp_path / "wsgate.toml"
        path.write_text(text)
        return path

    return to_file


def problems(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path)
    return list(caught.value.problems)


def test_a_file_sets_what_the_environment_does_not(
    monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    path = write(
        """
        ws_port = 1
        ws_max_connections = "2"
        ws_deflate = false
        ws_jwt_leeway_s = 2.5
        nats_url = ["nats://a", "tls://b:1"]
        nats_token = "of-the-file"
        log_level = "Debug"
        """
    )
    monkeypatch.setenv("WS_PORT", "3")
    monkeypatch.setenv("NATS_TOKEN", "")  # not set
    loaded = load(path)
    settings = loaded.settings
    assert (settings.ws_port, settings.ws_max_connections, settings.ws_admin_port) == (3, 2, 3003)
    assert (settings.ws_deflate, settings.ws_jwt_leeway_s) == (False, 2.5)
    assert settings.nats_url == ("nats://a", "tls://b:1")
    assert settings.nats_token is not None
    assert settings.nats_token.get_secret_value() == "of-the-file"
    assert settings.log_level == "debug"
    provenance = loaded.provenance
    assert provenance.of("ws_port") == "environment"
    assert provenance.of("nats_token") == "file"
    assert provenance.of("ws_admin_port") == "default"


RULES = [
    {"subject": "a.*", "type": "a", "kind": "event", "overflow": "close"},
    {"subject": "b.>", "type": "b", "kind": "state"},
]


@pytest.mark.parametrize("form", ["tables", "JSON"])
def test_rules_as_tables_or_as_json(write: Write, form: str) -> None:
    tables = "".join(
        "[[ws_rules]]\n" + "".join(f"{name} = '{value}'\n" for name, value in rule.items())
        for rule in RULES
    )
    rules = tables if form == "tables" else f"ws_rules = '''{json.dumps(RULES)}'''"
    settings = load(write(f"nats_subjects = 'a.*, b.>'\n{rules}")).settings
    assert list(settings.ws_rules) == [
        Rule("a.*", "a", Kind.EVENT, Overflow.CLOSE),
        Rule("b.>", "b", Kind.STATE),
    ]


def test_an_empty_text_is_not_set(write: Write) -> None:
    loaded = load(write("ws_tls_cert = ''\nnats_user = ''\nws_host = ''"))
    assert loaded.settings.nats_user is None
    assert loaded.settings.ws_host == "0.0.0.0"
    assert loaded.provenance.of("nats_user") == "default"


def test_it_is_read_again(write: Write) -> None:
    loaded = load(write("ws_max_channels = 5\nws_max_fragments = 6"))
    write("ws_max_channels = 7")
    again = loaded.again().settings
    assert (again.ws_max_channels, again.ws_max_fragments) == (7, 64)
    assert loaded.settings.ws_max_channels == 5


def test_a_key_that_does_not_fit_any_more_is_found_when_it_is_read_again(
    write: Write, tmp_path: Path
) -> None:
    own, other = Certificate(tmp_path), Certificate(tmp_path, "other")
    loaded = load(write(f"ws_tls_cert = '{own.path}'\nws_tls_key = '{own.key_path}'"))
    other.key_path.rename(own.key_path)
    with pytest.raises(ConfigError, match=r"WS_TLS_KEY: got .* does not belong to"):
        loaded.again()


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("ws_port = \n", "1:11", "Invalid value"),
        ('ws_port = 1\nws_host = "\n', "2:12", "Illegal character"),
        ("ws_port = 1\nnats_url = [", "2:13", "Invalid value"),
        ("\nws_port 1", "2:9", "Expected '='"),
        ("ws_port = 1\nws_port = 2\n", "2:12", "Cannot overwrite a value"),
    ],
)
def test_what_is_no_toml(write: Write, text: str, place: str, reason: str) -> None:
    path = write(text)
    (line,) = problems(path)
    assert line.startswith(f"{path}:{place}: it is not TOML: {reason}")
    assert "(at" not in line


@pytest.mark.parametrize("text", ["ws_port = " + "1" * 5000, "ws_rules = " + "[" * 5000])
def test_what_is_too_much_for_the_parser(write: Write, text: str) -> None:
    path = write(text)
    (line,) = problems(path)
    assert line.startswith(f"{path}: it is not TOML: ")


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "wsgate.toml"
    path.write_bytes(b"ws_port = 1\nws_host = '\xff'\n")
    assert problems(path) == [f"{path}:2:12: it is not UTF-8, which TOML is"]


def test_what_is_no_file_is_called_what_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's name has to be short
    os.mkfifo("pipe")  # to read it would be to wait for ever
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
    kinds = {
        tmp_path: "a folder",
        tmp_path / "pipe": "a pipe",
        tmp_path / "socket": "a socket",
        Path("/dev/null"): "a device",
    }
    for path, kind in kinds.items():
        assert problems(path) == [
            f"WS_CONFIG or --config: got '{path}', but that is {kind}, and no file;"
            " allowed: a TOML file"
        ]


def test_everything_wrong_in_both_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    path = write("ws_prot = 1\nws_port = 70000\nws_host = 5\nlog_level = 'loud'\n[nats]\nurl = 'x'")
    monkeypatch.setenv("WS_WORKERS", "many")
    monkeypatch.setenv("LOG_LEVEL", "louder")
    lines = problems(path)
    assert lines[:2] == [
        f"ws_prot: {path} has it, but there is no such setting; did you mean ws_port?",
        f"nats: {path} has it, but there is no such setting: a file of settings has no sections"
        " but [[ws_rules]]",
    ]
    assert [line.partition("; allowed")[0] for line in lines[2:]] == [
        f"WS_HOST: got 5 from {path}",
        f"WS_PORT: got 70000 from {path}",
        "WS_WORKERS: got 'many' from the environment",
        "LOG_LEVEL: got 'louder' from the environment",
    ]


def test_a_name_in_capitals(write: Write) -> None:
    (line,) = problems(write("WS_PORT = 1"))
    assert line.endswith("there is no such setting: in a file it is ws_port")


@pytest.mark.parametrize(
    "text",
    [
        "nats_passwort = 'hunter2'",
        "nats = {password = 'hunter2'}",
        "nats_password = 'hunter2'",  # without a user
        "nats_token = ['hunter2']",
        "ws_jwt_secret = 'hunter2'",
        "nats_url = ['nats://me:hunter2@x', 5]",
        "nats_url = ['http://me:hunter2@x']",
        "nats_url = {me = 'hunter2'}",
        "ws_jwt_keys = ['a.pem', 'https://x/jwks?key=hunter2']",
        "nats_password = hunter2",
        "[[ws_rules]]\nsubject = 'a'\ntype = 't'\nkind = 'state'\nnats_password = 'hunter2'",
        "[[ws_rules]]\nnats_token = 'hunter2'",
        "[ws_rules]\nnats_token = 'hunter2'",
    ],
)
def test_no_secret_of_a_file_is_shown(write: Write, text: str) -> None:
    said = "\n".join(problems(write(text)))
    assert said
    assert "hunter2" not in said
