"""What the doctor thinks of ports, certificates, keys, NATS and settings; and how it says so."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import socket
import ssl
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from rich.console import Console

from tests.support.certificates import Certificate
from wsgate.auth.keyset import KeysUnusable, from_secret
from wsgate.blueprint import TlsFiles
from wsgate.edge.tls import CertificateError
from wsgate.settings import Settings
from wsgate.settings.names import PREFIXES
from wsgate.tools.doctor import (
    holders,
    keys,
    nats,
    ports,
    python,
    report,
    settings,
    tls,
)
from wsgate.tools.doctor.finding import Finding, Verdict, ok, problem, warning

OK, WARNING, PROBLEM = Verdict
DAY_S = 86_400


def verdicts(findings: Iterable[Finding]) -> list[Verdict]:
    return [one.verdict for one in findings]


# ------------------------------------------------------------------------------------------ ports

GATEWAY = holders.Holder(7, ("/usr/bin/python3", "-m", "wsgate", "serve"))
WORKER = holders.Holder(8, ("/usr/bin/python3", "-m", "wsgate.worker"))
STRANGER = holders.Holder(9, ("/usr/bin/node", "serve.js"))


def port(error: OSError | None = None, holder: holders.Holder | None = None) -> ports.Port:
    return ports.Port("WS_PORT", "0.0.0.0", 80, error, holder)


@pytest.mark.parametrize(
    ("found", "verdict", "text", "mend"),
    [
        (port(), OK, "WS_PORT=80 is free", ""),
        (port(OSError(errno.EADDRINUSE, ""), GATEWAY), OK, "a gateway that runs, process 7", ""),
        (port(OSError(errno.EADDRINUSE, ""), WORKER), OK, "a gateway that runs, process 8", ""),
        (port(OSError(errno.EADDRINUSE, ""), STRANGER), PROBLEM, "9 (node serve.js)", "kill 9"),
        (port(OSError(errno.EADDRINUSE, "")), PROBLEM, "only root can see", "sport = :80"),
        (port(OSError(errno.EACCES, "")), PROBLEM, "may not listen", "CAP_NET_BIND_SERVICE"),
        (port(OSError(errno.EADDRNOTAVAIL, "")), PROBLEM, "no address", "WS_HOST=0.0.0.0"),
        (port(socket.gaierror(-2, "unknown")), PROBLEM, "resolved: unknown", "WS_HOST=0.0.0.0"),
        (port(OSError(errno.EAFNOSUPPORT, "")), PROBLEM, "not supported", "WS_HOST"),
    ],
)
def test_ports(found: ports.Port, verdict: Verdict, text: str, mend: str) -> None:
    finding = ports.judge(found)
    assert finding.verdict is verdict
    assert text in finding.found
    assert mend in finding.mend


def test_who_has_a_port_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mine:
        number = mine.getsockname()[1]
        found = ports.read("WS_PORT", "127.0.0.1", number)
        assert found.error is not None and found.error.errno == errno.EADDRINUSE
        assert found.holder is not None
        assert found.holder.command[0] == sys.orig_argv[0]
    assert ports.read("WS_PORT", "127.0.0.1", number).error is None
    assert holders.holder_of(number) is None


# ------------------------------------------------------------------------------- TLS, keys, Python


@pytest.mark.parametrize(
    ("days", "verdict"), [(-1, PROBLEM), (0, PROBLEM), (13.9, WARNING), (14, OK), (400, OK)]
)
def test_how_long_a_certificate_lasts(days: float, verdict: Verdict) -> None:
    assert tls.judge(1e9 + days * DAY_S, now_s=1e9).verdict is verdict


def test_certificates_are_read(tmp_path: Path) -> None:
    good, other = Certificate(tmp_path), Certificate(tmp_path, "other")
    found = tls.read(TlsFiles(certificate=good.path, key=good.key_path))
    assert found == good.expires.timestamp()
    found = tls.read(TlsFiles(certificate=good.path, key=other.key_path))
    assert isinstance(found, CertificateError)
    finding = tls.judge(found, now_s=0.0)
    assert finding.verdict is PROBLEM
    assert "does not belong to" in finding.found
    assert tls.judge(None, now_s=0.0).verdict is OK


def test_keys() -> None:
    good = keys.judge(from_secret("x" * 32), setting="WS_JWT_SECRET")
    assert (good.verdict, good.found) == (OK, "WS_JWT_SECRET has keys for HS256, 1 in all")
    bad = keys.judge(KeysUnusable("it is not JSON"), setting="WS_JWT_KEYS")
    assert bad.verdict is PROBLEM
    assert "it is not JSON" in bad.found
    assert keys.judge(None, setting="WS_AUTH").verdict is OK


def build(**what: bool) -> python.Python:
    usual = {"openssl_shared": True, "free_threaded": False, "isal": True}
    return python.Python(version="3.11.7", **{**usual, **what})


@pytest.mark.parametrize(
    ("found", "encrypts", "expected"),
    [
        (build(), True, [OK]),
        (build(openssl_shared=False), True, [OK, PROBLEM]),
        (build(openssl_shared=False), False, [OK]),
        (build(free_threaded=True), False, [OK, WARNING]),
        (build(isal=False), False, [OK, WARNING]),
    ],
)
def test_pythons(found: python.Python, encrypts: bool, expected: list[Verdict]) -> None:
    assert verdicts(python.judge(found, tls=encrypts, deflate=True)) == expected


def test_without_compression_nothing_is_missed() -> None:
    assert verdicts(python.judge(build(isal=False), tls=False, deflate=False)) == [OK]


# ------------------------------------------------------------------------------------------- NATS


def test_one_server_is_enough() -> None:
    there = nats.Reached("nats://a:4222", "2.15.1", 0.0012)
    away = nats.Missed("nats://b:4222", ConnectionRefusedError(111, "Connection refused"))
    assert verdicts(nats.judge([there, away])) == [OK, WARNING]
    assert verdicts(nats.judge([away, away])) == [PROBLEM, PROBLEM]
    assert next(nats.judge([there])).found == "nats://a:4222: version 2.15.1, answers in 1.2 ms"


def test_what_is_wrong_with_a_server_is_told_apart() -> None:
    (refused,) = nats.judge([nats.Missed("nats://a:4222", ssl.SSLError(1, "bad certificate"))])
    assert "tls failed" in refused.found
    assert "certificate" in refused.mend


def test_a_subject_that_is_denied() -> None:
    found = nats.Reached("nats://a:4222", "2.15.1", 0.001, ("global.>",))
    good, denied = nats.judge([found])
    assert good.verdict is OK
    assert denied.verdict is PROBLEM
    assert "'global.>'" in denied.mend


# --------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("variables", "wrong", "also_defaulted"),
    [
        ({}, set(), set()),
        ({"WS_PORT": "x", "WS_MAX_HANDSHAKES": "0"}, {"ws_port", "ws_max_handshakes"}, set()),
        ({"WS_TLS_CERT": "own.pem", "WS_TLS_KEY": "/nope"}, {"ws_tls_key"}, {"ws_tls_cert"}),
        ({"WS_TLS_CERT": "own.pem", "WS_TLS_KEY": "x.key"}, {"ws_tls_key"}, {"ws_tls_cert"}),
        ({"WS_DRAIN_DELAY_S": "100"}, {"ws_drain_timeout_s"}, {"ws_drain_delay_s"}),
        (
            {"WS_AUTH": "jwt", "WS_JWT_SECRET": "short"},
            {"ws_jwt_secret"},
            {"ws_auth", "ws_jwt_keys"},
        ),
        ({"NATS_USER": "u", "NATS_TOKEN": "t"}, {"nats_token"}, set()),
        ({"NATS_PASSWORD": "p"}, {"nats_password"}, set()),
    ],
)
def test_what_is_wrong_yields_to_defaults(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variables: dict[str, str],
    wrong: set[str],
    also_defaulted: set[str],
) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIXES)]:
        monkeypatch.delenv(name)
    for name in ("own", "x"):
        Certificate(tmp_path, name)
    monkeypatch.chdir(tmp_path)
    for name, value in {"WS_MAX_CONNECTIONS": "77", **variables}.items():
        monkeypatch.setenv(name, value)
    found = settings.read()
    names = {line.partition(":")[0].lower() for line in found.wrong}
    assert names == wrong
    assert found.defaulted == wrong | also_defaulted
    for name in found.defaulted:
        assert getattr(found.settings, name) == Settings.model_fields[name].default
    assert found.settings.ws_max_connections == 77, "what is right stays"
    findings = list(settings.judge(found.wrong, [], []))
    assert verdicts(findings) == ([PROBLEM] * len(wrong) or [OK])


def test_each_wrong_setting_is_a_finding_of_its_own() -> None:
    line = "WS_PORT: got 'x; allowed: y', but no; allowed: a port, 0 to 65535"
    (finding,) = settings.judge([line], [], [])
    assert finding.found == "WS_PORT: got 'x; allowed: y', but no"
    assert finding.expected == "a port, 0 to 65535"


def test_what_may_be_a_mistake_is_a_warning() -> None:
    findings = settings.judge([], [("WS_PROT", "WS_PORT"), ("NATS_X", None)], ["elsewhere.*"])
    meant, unknown, in_vain, good = findings
    assert (meant.verdict, meant.mend) == (WARNING, "WS_PORT instead")
    assert (unknown.verdict, unknown.mend) == (WARNING, "unset NATS_X")
    assert in_vain.verdict is WARNING
    assert good.verdict is OK


# ----------------------------------------------------------------------------------------- report

GREEN = "\x1b[32m"
FINDINGS = [
    ok("ports", "WS_PORT=3002 is free"),
    warning("CPU", "3 workers on 2 cores", expected="fewer", mend="WS_WORKERS=2"),
    problem("NATS", "[unreachable] " + "x " * 60, expected="a server", mend="start one"),
]


def printed(findings: list[Finding], *, terminal: bool) -> str:
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, highlight=False, width=60)
    report.print_lines(findings, console)
    return output.getvalue()


def test_lines_are_whole_where_no_terminal_is() -> None:
    lines = printed(FINDINGS, terminal=False).splitlines()
    assert len(lines) == 3 + 2 * 2 + 1
    assert lines[0] == "ok       ports       WS_PORT=3002 is free"
    assert lines[3] == " " * 21 + "mend: WS_WORKERS=2"
    assert "[unreachable] x x" in lines[4]
    assert lines[-1] == "1 problem, 1 warning, 1 ok"
    assert "\x1b" not in "".join(lines)


def test_lines_fit_a_terminal_and_have_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert GREEN in printed(FINDINGS, terminal=True)
    monkeypatch.setenv("NO_COLOR", "1")
    text = printed(FINDINGS, terminal=True)
    assert GREEN not in text
    assert max(len(re.sub("\x1b\\[[\\d;]*m", "", line)) for line in text.splitlines()) <= 60


def test_json() -> None:
    told = json.loads(report.as_json(FINDINGS))
    assert told["verdict"] == "problem"
    assert told["findings"][1] == {
        "topic": "CPU",
        "verdict": "warning",
        "found": "3 workers on 2 cores",
        "expected": "fewer",
        "mend": "WS_WORKERS=2",
    }


def test_the_worst_decides() -> None:
    assert report.worst([]) is OK
    assert report.worst(FINDINGS[:1]) is OK
    assert report.worst(FINDINGS[:2]) is WARNING
    assert report.worst(FINDINGS[::-1]) is PROBLEM
