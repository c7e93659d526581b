from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from wsgate import config
from wsgate.config import ConfigError
from wsgate.limits import Limits
from wsgate.rules import DEFAULT_RULES, Kind, Rule, Rules
from wsgate.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
FIELDS = Settings.model_fields


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith(config.OUR_PREFIXES) or name.lower() in FIELDS:
            monkeypatch.delenv(name)


def load(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return config.load()


def problems(monkeypatch: pytest.MonkeyPatch, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(monkeypatch, **environment)
    assert str(caught.value).splitlines() == list(caught.value.problems)
    return list(caught.value.problems)


def test_defaults() -> None:
    settings = config.load()
    assert settings.ws_host == "0.0.0.0"
    assert (settings.ws_port, settings.ws_admin_port) == (3002, 3003)
    assert settings.ws_max_connections == 10_000
    assert settings.ws_auth == "none"
    assert settings.ws_flush_window_ms == 0
    assert settings.ws_rules is DEFAULT_RULES
    assert settings.nats_url == ("nats://127.0.0.1:4222",)
    assert settings.nats_subjects == ("token.*.update", "token.*.comment", "global.>")
    assert (settings.log_level, settings.log_format) == ("info", "json")
    assert settings.nats_creds is settings.nats_user is settings.nats_password is None
    assert settings.nats_token is settings.ws_tls_cert is settings.ws_tls_key is None


def test_the_environment_sets_every_field(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    creds = tmp_path / "user.creds"
    creds.touch()
    key = tmp_path / "key.pem"
    key.touch()
    rules = [{"subject": "a.*", "type": "t", "kind": "event", "overflow": "close"}]
    settings = load(
        monkeypatch,
        WS_HOST="127.0.0.1",
        WS_PORT="1",
        WS_ADMIN_PORT="2",
        WS_MAX_CONNECTIONS="3",
        WS_AUTH="None",
        WS_FLUSH_WINDOW_MS="4",
        WS_RULES=json.dumps(rules),
        NATS_URL="nats://a:1, tls://b ,nats://u:p@[::1]:5",
        NATS_SUBJECTS="a.*, b",
        NATS_CREDS=str(creds),
        WS_TLS_CERT=str(creds),
        WS_TLS_KEY=str(key),
        LOG_LEVEL="WARNING",
        LOG_FORMAT="Text",
    )
    assert settings.ws_host == "127.0.0.1"
    assert (settings.ws_port, settings.ws_admin_port, settings.ws_max_connections) == (1, 2, 3)
    assert (settings.ws_auth, settings.ws_flush_window_ms) == ("none", 4)
    assert [rule.subject for rule in settings.ws_rules] == ["a.*"]
    assert settings.nats_url == ("nats://a:1", "tls://b", "nats://u:p@[::1]:5")
    assert settings.nats_subjects == ("a.*", "b")
    assert settings.nats_creds == creds
    assert (settings.ws_tls_cert, settings.ws_tls_key) == (creds, key)
    assert (settings.log_level, settings.log_format) == ("warning", "text")


def test_a_user_with_a_password_and_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, NATS_USER="u", NATS_PASSWORD="secret-p")
    assert settings.nats_user == "u"
    assert settings.nats_password is not None
    assert settings.nats_password.get_secret_value() == "secret-p"
    monkeypatch.undo()
    settings = load(monkeypatch, NATS_TOKEN="secret-t")
    assert settings.nats_token is not None
    assert settings.nats_token.get_secret_value() == "secret-t"


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, **{name.upper(): "" for name in FIELDS}) == Settings()


def test_keyword_arguments_go_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WS_PORT", "7")
    monkeypatch.setenv("WS_MAX_CONNECTIONS", "8")
    rules = Rules([Rule("x", "t", Kind.STATE)])
    settings = Settings(ws_port=0, ws_admin_port=0, nats_url=["nats://x"], ws_rules=rules)
    assert (settings.ws_port, settings.ws_admin_port) == (0, 0)
    assert settings.ws_max_connections == 8
    assert settings.nats_url == ("nats://x",)
    assert settings.ws_rules is rules


def test_a_program_may_do_without_nats_servers() -> None:
    assert Settings(nats_url=()).nats_url == ()


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Settings().ws_port = 1


def test_limits_follow_the_settings() -> None:
    assert Settings(ws_max_connections=5).limits() == Limits(connections_max=5)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("WS_HOST", "a b", ""),
        ("WS_HOST", "http://x", ""),
        ("WS_PORT", "x", ""),
        ("WS_PORT", "-1", ""),
        ("WS_PORT", "65536", ""),
        ("WS_PORT", "tcp://10.0.0.1:3002", ""),
        ("WS_ADMIN_PORT", "3002", "it is WS_PORT's"),
        ("WS_ADMIN_PORT", "3.5", ""),
        ("WS_MAX_CONNECTIONS", "0", ""),
        ("WS_MAX_CONNECTIONS", "1000001", ""),
        ("WS_AUTH", "jwt", ""),
        ("WS_FLUSH_WINDOW_MS", "-1", ""),
        ("WS_FLUSH_WINDOW_MS", "10001", ""),
        ("WS_RULES", "[{", "it is not JSON: "),
        ("WS_RULES", "{}", "rules are a JSON array of objects"),
        ("WS_RULES", "[]", "0 rules; allowed are 1 to 64"),
        ("WS_RULES", '[{"subject":"a"}]', "a rule lacks the field 'type'"),
        ("NATS_URL", ",", "the list is empty"),
        ("NATS_URL", "http://x:4222", "not all in it are such URLs"),
        ("NATS_URL", "localhost:4222", "not all in it are such URLs"),
        ("NATS_URL", "nats://x:0", "not all in it are such URLs"),
        ("NATS_URL", "nats://x:65536", "not all in it are such URLs"),
        ("NATS_URL", "nats://x/path", "not all in it are such URLs"),
        ("NATS_URL", "nats://[x", "not all in it are such URLs"),
        ("NATS_SUBJECTS", " , ", "the list is empty"),
        ("NATS_SUBJECTS", "a..b", "'a..b' is not a NATS subject"),
        ("NATS_SUBJECTS", "a.>.b", "'a.>.b' is not a NATS subject"),
        ("NATS_SUBJECTS", "a,b,a", "'a' and 'a' overlap"),
        ("NATS_SUBJECTS", "a.>,b,a.*.c", "'a.>' and 'a.*.c' overlap"),
        ("NATS_CREDS", "/no/such/file", "there is no such file"),
        ("NATS_CREDS", "/", "there is no such file"),
        ("NATS_CREDS", "/" + "x" * 300, "the file cannot be looked at: File name too long"),
        ("WS_TLS_CERT", "/no/such/file", "there is no such file"),
        ("WS_TLS_KEY", "/no/such/file", "there is no such file"),
        ("LOG_LEVEL", "loud", ""),
        ("LOG_FORMAT", "xml", ""),
    ],
)
def test_a_wrong_value_is_reported_with_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    (line,) = problems(monkeypatch, **{name: value})
    allowed = config.allowed(FIELDS[name.lower()])
    assert line.startswith(f"{name}: got {value!r}" + (f", but {reason}" if reason else ";"))
    assert line.endswith(f"; allowed: {allowed}")


def test_an_unreadable_creds_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    creds = tmp_path / "user.creds"
    creds.touch()
    monkeypatch.setattr(os, "access", lambda path, mode: path != creds)
    (line,) = problems(monkeypatch, NATS_CREDS=str(creds))
    assert "the file cannot be read" in line


@pytest.mark.parametrize(
    ("environment", "name", "reason"),
    [
        ({"NATS_USER": "u", "NATS_TOKEN": "t"}, "NATS_TOKEN", "NATS_USER is set as well"),
        ({"WS_TLS_CERT": __file__}, "WS_TLS_KEY", "WS_TLS_CERT is set"),
        ({"WS_TLS_KEY": __file__}, "WS_TLS_KEY", "WS_TLS_CERT is not set"),
        ({"NATS_CREDS": __file__, "NATS_TOKEN": "t"}, "NATS_TOKEN", "NATS_CREDS is set as well"),
        ({"NATS_CREDS": __file__, "NATS_USER": "u"}, "NATS_USER", "NATS_CREDS is set as well"),
        ({"NATS_PASSWORD": "p"}, "NATS_PASSWORD", "NATS_USER is not set"),
        ({"NATS_PASSWORD": "p", "NATS_TOKEN": "t"}, "NATS_PASSWORD", "NATS_USER is not set"),
    ],
)
def test_logins_do_not_mix(
    monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str], name: str, reason: str
) -> None:
    (line,) = problems(monkeypatch, **environment)
    assert line.startswith(f"{name}: got ")
    assert reason in line


def test_every_mistake_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = problems(
        monkeypatch,
        WS_PORT="1234",
        WS_ADMIN_PORT="1234",
        WS_MAX_CONNECTIONS="many",
        WS_RULES="?",
        NATS_SUBJECTS="a,a",
        NATS_USER="u",
        NATS_TOKEN="t",
        LOG_LEVEL="loud",
    )
    assert [line.partition(":")[0] for line in lines] == [
        "WS_ADMIN_PORT",
        "WS_MAX_CONNECTIONS",
        "WS_RULES",
        "NATS_SUBJECTS",
        "NATS_TOKEN",
        "LOG_LEVEL",
    ]


@pytest.mark.parametrize(
    "url",
    [
        "http://me:hunter2@x",
        "nats://hunter2@x/path",
        "nats://me:hunter2",
        "nats://me:hunter2,nats://x",
        "nats://x:4222,nats://me:hunter2",
        "me:hunter2@x",
        "nats://me:hun,hunter2@x",
        "nats://me:7hunter2/",
        "nats://me:hunter2@[x",
    ],
)
def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    lines = problems(monkeypatch, NATS_URL=url, NATS_PASSWORD="hunter2", WS_PORT="x")
    assert "WS_PORT" in "".join(lines)
    assert len(lines) == 3
    assert "hun" not in "".join(lines)


def test_settings_show_no_secret() -> None:
    settings = Settings(nats_url=["nats://me:hunter2@x"], nats_user="u", nats_password="hunter2")
    assert "hunter2" not in f"{settings!r} {settings!s}"
    with pytest.raises(ValidationError) as caught:
        Settings(nats_password="hunter2", nats_url="http://hunter2@x")
    assert "hunter2" not in str(caught.value)


def test_a_setting_that_does_not_exist() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(ws_prot=1)
    assert config.problems(caught.value) == ["WS_PROT: there is no such setting"]


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("WS_MAX_CONNECTION", "WS_MAX_CONNECTIONS"),
        ("NATS_URLS", "NATS_URL"),
        ("ws_prot", "WS_PORT"),
        ("NATS_ZZZZZZZZZZZZ", None),
    ],
)
def test_unknown_variables(variable: str, meant: str | None) -> None:
    environment = {variable: "1", "WS_PORT": "1", "nats_url": "x", "PATH": "", "SNATS_X": ""}
    assert list(config.unknown(environment)) == [(variable, meant)]


def test_subjects_that_no_rule_matches() -> None:
    settings = Settings(
        nats_subjects=["a.>", "b.*", "c"],
        ws_rules=Rules([Rule("a.*.x", "t", Kind.STATE), Rule("b.>", "t", Kind.STATE)]),
    )
    assert settings.subjects_without_rule() == ["c"]
    assert Settings().subjects_without_rule() == []


def default_in_words(field: FieldInfo) -> str:
    default: Any = field.default
    if default is None:
        return ""
    if isinstance(default, Rules):
        return "[below](#rules)"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{','.join(default) if isinstance(default, tuple) else default}`"


def test_the_page_lists_every_setting() -> None:
    rows = [
        f"| `{name.upper()}` | {default_in_words(field)} | {config.allowed(field)} "
        f"| {field.description} |"
        for name, field in FIELDS.items()
    ]
    lines = PAGE.read_text().splitlines()
    start = lines.index("| name | default | allowed | what it does |") + 2
    assert lines[start : start + len(rows) + 1] == [*rows, ""]


def test_the_page_shows_the_default_rules() -> None:
    text = PAGE.read_text()
    shown = text[text.index("```json\n") + len("```json\n") :].partition("```")[0]
    assert list(Rules.from_json(shown)) == list(DEFAULT_RULES)


def test_the_page_shows_what_a_mistake_looks_like(monkeypatch: pytest.MonkeyPatch) -> None:
    for line in problems(monkeypatch, WS_PORT="70000", NATS_SUBJECTS="token.>,token.*.update"):
        assert f"\n  {line}\n" in PAGE.read_text()
