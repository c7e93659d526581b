from __future__ import annotations

import inspect
import json
import resource
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from typer.testing import CliRunner

from tests.support.command import DEADLINE_S, command, environment, wsgate
from wsgate import cli, descriptors
from wsgate.tools.demo import run as demo_run

ANY_PORTS = {"WS_HOST": "127.0.0.1", "WS_PORT": "0", "WS_ADMIN_PORT": "0"}
# Nobody listens on port 1: what is under test here does not need NATS.
NO_NATS = {"NATS_URL": "nats://127.0.0.1:1"}


@contextmanager
def serving(**settings: str) -> Iterator[tuple[subprocess.Popen[str], list[dict[str, Any]]]]:
    """A gateway that listens, and what it logged until then."""
    with subprocess.Popen(
        command("serve"),
        env=environment(**{**ANY_PORTS, **NO_NATS, **settings}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            events: list[dict[str, Any]] = []
            for line in process.stdout:
                events.append(json.loads(line))
                if events[-1]["event"] == "listening":
                    break
            assert events, "it ended without a word"
            assert events[-1]["event"] == "listening"
            yield process, events
        finally:
            process.kill()


@pytest.mark.parametrize("module", [True, False])
def test_version(module: bool) -> None:
    if module:
        done = wsgate("--version")
        assert done.returncode == 0
        output = done.stdout
    else:
        output = CliRunner().invoke(cli.app, ["--version"]).output
    assert output == f"wsgate {version('wsgate')}\n"


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_names_the_commands(flag: str) -> None:
    output = CliRunner().invoke(cli.app, [flag]).output
    for name in ("serve", "check-config", "config", "demo", "healthcheck", "doctor", "top"):
        assert name in output


@pytest.mark.parametrize(("name", "first"), [("docs", "| name |"), ("env", "# Settings of")])
def test_config_prints_what_there_is_to_set(name: str, first: str) -> None:
    done = CliRunner().invoke(cli.app, ["config", name])
    assert done.exit_code == 0
    assert done.output.startswith(first)
    assert "WS_MAX_CONNECTIONS" in done.output


def test_completion() -> None:
    done = wsgate(
        _WSGATE_COMPLETE="complete_bash",
        COMP_WORDS="wsgate se",
        COMP_CWORD="1",
    )
    assert done.stdout.split() == ["serve"]


def test_completion_is_installed_and_lists_the_commands(tmp_path: Path) -> None:
    wsgate(
        "--install-completion",
        "bash",
        HOME=str(tmp_path),
        # The shell is not looked for among the parents of this test, but given.
        _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1",
    )
    script = """
        source ~/.bashrc
        COMP_WORDS=(wsgate "") COMP_CWORD=1
        $(complete -p wsgate | sed 's/.* -F \\([^ ]*\\).*/\\1/') "$WSGATE"
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    wrapper = tmp_path / "wsgate"
    wrapper.write_text(f'#!/bin/sh\nexec {shlex.join(command())} "$@"\n')
    wrapper.chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", script],
        env=environment(HOME=str(tmp_path), WSGATE=str(wrapper)),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    commands = {"serve", "demo", "healthcheck", "doctor", "top"}
    assert commands <= set(done.stdout.split()), done.stderr


def test_no_traceback_of_what_only_one_command_does() -> None:
    for arguments in (["top", "--url", "ftp://x"], ["top", "--once", "--url", "127.0.0.1:1"]):
        done = wsgate(*arguments)
        assert done.returncode == (2 if "ftp://x" in arguments else 1)
        assert done.stdout == ""
        assert done.stderr.startswith("wsgate: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_serve_until_told_to_stop(signum: signal.Signals) -> None:
    with serving() as (process, events):
        listening = events[-1]
        for port in (listening["port"], listening["admin_port"]):
            with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=DEADLINE_S) as answer:
                assert answer.status == 200
        process.send_signal(signum)
        assert process.wait(DEADLINE_S) == 0


def test_serve_reports_every_wrong_setting_and_nothing_else() -> None:
    done = wsgate("serve", WS_PORT="x", WS_ADMIN_PORT="99999", NATS_TOKEN="t", NATS_USER="u")
    assert done.returncode == 2
    assert done.stdout == ""
    first, *lines = done.stderr.splitlines()
    assert first == "wsgate: cannot start with these settings:"
    assert [line.partition(":")[0] for line in lines] == [
        "  WS_PORT",
        "  WS_ADMIN_PORT",
        "  NATS_TOKEN",
    ]


def test_serve_warns_of_what_may_be_a_mistake() -> None:
    with serving(WS_PROT="1", NATS_SUBJECTS="global.>,elsewhere.*") as (_, events):
        first, second = [event for event in events if event["level"] == "warning"]
    assert (first["setting"], first["did_you_mean"]) == ("WS_PROT", "WS_PORT")
    assert second["nats_subject"] == "elsewhere.*"


def test_serve_warns_when_there_are_too_few_descriptors() -> None:
    settings = {"WS_MAX_CONNECTIONS": "1000000", "WS_MAX_HANDSHAKES": "5", "WS_WORKERS": "2"}
    with serving(**settings) as (_, events):
        (warning,) = [event for event in events if event["level"] == "warning"]
    assert warning["ws_max_connections"] == 1_000_000
    assert 0 < warning["sockets_allowed"] < 1_000_000
    wanted = warning["open_files_wanted"]
    assert wanted == 1_000_000 + 3 + descriptors.SPARE, "the handshakes are shared among workers"
    findings = json.loads(wsgate("doctor", "--json", **NO_NATS, **settings).stdout)["findings"]
    (open_files,) = [one for one in findings if one["topic"] == "open files"]
    assert f"LimitNOFILE={wanted} " in open_files["mend"], "the doctor says the same"


def test_descriptors_are_for_handshakes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: taken.append(limits))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 5000))
    assert descriptors.allow(2000, 1000) is None
    assert taken == [(3000 + descriptors.SPARE, 5000)]
    assert descriptors.allow(4500, 1000) == 5000 - descriptors.SPARE
    assert taken[1:] == [(5000, 5000)]
    assert descriptors.allow(1, 5000) == 5000 - descriptors.SPARE, "they are there for clients too"
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert descriptors.allow(10**6, 10**6) is None


@pytest.mark.parametrize("setting", ["WS_PORT", "WS_ADMIN_PORT"])
def test_serve_names_the_port_that_is_busy(setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        done = wsgate("serve", **{**ANY_PORTS, **NO_NATS, setting: port})
    assert done.returncode == 1
    assert done.stderr == (
        f"wsgate: cannot listen on 127.0.0.1:{port} ({setting}): Address already in use\n"
    )


def test_a_traceback_only_with_debug() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        settings = {**ANY_PORTS, **NO_NATS, "WS_PORT": str(busy.getsockname()[1])}
        assert "Traceback" not in wsgate("serve", **settings).stderr
        done = wsgate("--debug", "serve", **settings)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ZeroDivisionError("oh"), "ZeroDivisionError: oh (--debug shows where)"),
        (PermissionError(13, "Permission denied", "/a/b"), "/a/b: Permission denied"),
        (OSError(98, "cannot listen"), "cannot listen"),
        (OSError("oh"), "OSError: oh (--debug shows where)"),
    ],
)
def test_an_unexpected_failure_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    said: str,
) -> None:
    def fails(**_: object) -> None:
        raise error

    monkeypatch.setattr(sys, "argv", ["wsgate", "serve"])
    monkeypatch.setattr(cli, "app", fails)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"wsgate: {said}\n"


def test_demo_hands_over_what_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, object] = {}

    def run_demo(**options: object) -> int:
        told.update(options)
        return 7

    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(demo_run.run_demo).parameters.items()
    }
    monkeypatch.setattr(demo_run, "run_demo", run_demo)
    assert CliRunner().invoke(cli.app, ["demo"]).exit_code == 7
    assert told == defaults
    options = ["--host", "::1", "--port", "1", "--admin-port", "2", "--page-port", "3"]
    options += ["--rate", "4.5", "--seed", "5", "--in-process"]
    assert CliRunner().invoke(cli.app, ["demo", *options]).exit_code == 7
    assert list(told.values()) == ["::1", 1, 2, 3, 4.5, 5, True]
