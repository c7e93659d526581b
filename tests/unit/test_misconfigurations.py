"""What is told to whoever got a setting wrong: its name, what came, what may come, what to do."""

from __future__ import annotations

import json
import os
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Certificate
from tests.support.command import wsgate
from tests.support.settings import only_environment
from wsgate import cli
from wsgate.settings import Settings

CASES = tomllib.loads(Path(__file__).with_name("misconfigurations.toml").read_text())["case"]
SECRET = "hunter2-hunter2"
PORT = "a port, 0 to 65535 (0 takes any free one)"


@pytest.fixture(scope="module")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("tls")
    own, other = Certificate(folder), Certificate(folder, "other")
    encrypted, cut = folder / "encrypted.key", folder / "cut.pem"
    own.write(own.path, encrypted, passphrase=b"sesame")
    lines = own.path.read_text().splitlines()
    cut.write_text("\n".join([*lines[:4], lines[-1]]))
    return {
        "{certificate}": str(own.path),
        "{key}": str(own.key_path),
        "{other_key}": str(other.key_path),
        "{encrypted_key}": str(encrypted),
        "{cut_certificate}": str(cut),
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
@pytest.mark.parametrize("command", ["check-config", "serve"])
def test_a_mistake(
    case: dict[str, Any],
    command: str,
    tls_files: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    path = tmp_path / "wsgate.toml"

    def filled(text: str) -> str:
        named = {"{file}": str(path), "{readable}": __file__, "{secret}": SECRET}
        for name, value in {**named, **tls_files}.items():
            text = text.replace(name, value)
        return text

    arguments = [command]
    if "file" in case:
        path.write_text(filled(case["file"]))
        arguments += ["--config", str(path)]
    environment = case.get("environment", {})
    only_environment(monkeypatch, **{name: filled(value) for name, value in environment.items()})
    monkeypatch.setattr(sys, "argv", ["wsgate", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.out == ""
    assert SECRET not in said.err
    first, *lines = said.err.splitlines()
    assert first == "wsgate: cannot start with these settings:"
    assert lines == ["  " + line for line in filled(case["said"]).strip().splitlines()]


def test_the_file_may_be_named_either_way(tmp_path: Path) -> None:
    path = tmp_path / "wsgate.toml"
    path.write_text("ws_port = 'x'")
    named = wsgate("serve", WS_CONFIG=path)
    given = wsgate("serve", "--config", str(path), WS_CONFIG="/no/such.toml")
    assert named.returncode == given.returncode == 2
    assert named.stderr == given.stderr
    assert f"WS_PORT: got 'x' from {path}" in named.stderr


def check(*arguments: str, **environment: object) -> tuple[int, Any]:
    done = wsgate("check-config", "--json", *arguments, **environment)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def test_machines_are_told_as_well(tmp_path: Path) -> None:
    path = tmp_path / "wsgate.toml"
    path.write_text(f"ws_port = 4000\nnats_url = ['nats://me:{SECRET}@x:1']")
    status, said = check("--config", str(path), WS_DEFLATE="false", WS_PROT="1")
    assert status == 0
    assert said["problems"] == []
    assert said["warnings"] == [
        {
            "event": "unknown setting ignored",
            "setting": "WS_PROT",
            "did_you_mean": "WS_PORT",
        }
    ]
    settings = said["settings"]
    assert list(settings) == list(Settings.model_fields)
    assert settings["ws_port"] == {"value": 4000, "from": "file"}
    assert settings["ws_deflate"] == {"value": False, "from": "environment"}
    assert settings["ws_tls_cert"] == {"value": None, "from": "default"}
    assert settings["nats_url"] == {"value": ["nats://***@x:1"], "from": "file"}
    status, said = check(WS_PORT="x", WS_PROT="1")
    assert status == 2
    assert said["settings"] is None
    assert said["problems"] == [f"WS_PORT: got 'x' from the environment; allowed: {PORT}"]
    assert len(said["warnings"]) == 1


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_what_is_no_text_is_shown_too(options: list[str]) -> None:
    done = wsgate("check-config", *options, NATS_USER=os.fsdecode(b"\xff"))
    assert done.returncode == 0
    assert "\\udcff" in done.stdout


def test_what_is_right_is_shown_with_where_it_came_from(tmp_path: Path) -> None:
    path = tmp_path / "wsgate.toml"
    path.write_text(f"nats_user = 'me'\nnats_password = '{SECRET}'\nws_trusted_proxies = ['::1']")
    done = wsgate(
        "check-config",
        WS_CONFIG=path,
        WS_PORT=4000,
        WS_JWT_SECRET=SECRET * 3,
        WS_MAX_GOROUTINES=5,
    )
    assert done.returncode == 0
    assert done.stderr == ""
    assert SECRET not in done.stdout
    shown = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    assert [line[0] for line in shown[:-1]] == [name.upper() for name in Settings.model_fields]
    assert ["WS_PORT", "environment", "4000"] in shown
    assert ["WS_ADMIN_PORT", "default", "3003"] in shown
    assert ["WS_TLS_CERT", "default"] in shown
    assert ["WS_TRUSTED_PROXIES", "file", "::1"] in shown
    assert ["WS_JWT_SECRET", "environment", "***"] in shown
    assert ["NATS_PASSWORD", "file", "***"] in shown
    assert done.stdout.splitlines()[-1] == (
        "warning: settings of the gateway in Go that do nothing here: take them out (settings:"
        " WS_MAX_GOROUTINES)"
    )
