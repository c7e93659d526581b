"""Mistakes in settings: each is told at once, with what is allowed, and without a secret."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.support.certificates import Certificate
from tests.support.settings import load, only_environment
from wsgate.settings import Settings
from wsgate.settings.problems import problems as problems_of
from wsgate.settings.reading import ConfigError
from wsgate.settings.words import allowed as allowed_words

FIELDS = Settings.model_fields


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    only_environment(monkeypatch)


def problems(monkeypatch: pytest.MonkeyPatch, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(monkeypatch, **environment)
    assert str(caught.value).splitlines() == list(caught.value.problems)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("WS_HOST", "a b", ""),
        ("WS_HOST", "http://x", ""),
        ("WS_PORT", "x", ""),
        ("WS_PORT", "-1", ""),
        ("WS_PORT", "65536", ""),
        ("WS_PORT", "tcp://10.0.0.1:3002", "that is where a container platform has a service"),
        ("WS_ADMIN_PORT", "3002", "it is WS_PORT's"),
        ("WS_ADMIN_PORT", "3.5", ""),
        ("WS_WORKERS", "0", "it is out of range"),
        ("WS_WORKERS", "257", "it is out of range"),
        ("WS_WORKERS", "many", ""),
        ("WS_MAX_CONNECTIONS", "0", ""),
        ("WS_MAX_CONNECTIONS", "1000001", ""),
        ("WS_AUTH", "oauth", ""),
        ("WS_JWT_LEEWAY_S", "-1", ""),
        ("WS_JWT_LEEWAY_S", "301", ""),
        ("WS_JWT_CHANNELS_DEFAULT", "some", ""),
        ("WS_AUTH_TIMEOUT_S", "0", ""),
        ("WS_TICKET_TTL_S", "301", ""),
        ("WS_ALLOWED_ORIGINS", "site.example", "'site.example' is no origin"),
        ("WS_JWT_KEYS", "a.pem,https://issuer.example/jwks", "a URL stands alone"),
        ("WS_MAX_CONNECTIONS_PER_ADDRESS", "-1", ""),
        ("WS_MAX_HANDSHAKES", "0", ""),
        ("WS_MAX_HANDSHAKES_PER_S", "-1", ""),
        ("WS_HANDSHAKE_TIMEOUT_S", "0", ""),
        ("WS_HANDSHAKE_TIMEOUT_S", "61", ""),
        ("WS_MAX_HEADER_BYTES", "1023", ""),
        ("WS_MAX_HEADER_BYTES", "16385", ""),
        ("WS_TRUSTED_PROXIES", "10.0.0.0/8,proxy", "'proxy' is no network"),
        ("WS_TRUSTED_PROXIES", "10.0.0.1/8", "'10.0.0.1/8' has bits set beyond its prefix"),
        ("WS_PROXY_PROTOCOL", "v2", ""),
        ("WS_PROXY_PROTOCOL", "on", "WS_TRUSTED_PROXIES is not set"),
        ("WS_MAX_MESSAGE_BYTES", "1023", ""),
        ("WS_MAX_MESSAGE_BYTES", "65537", ""),
        ("WS_MAX_FRAGMENTS", "0", ""),
        ("WS_MAX_COMMANDS_PER_S", "-1", ""),
        ("WS_MAX_PINGS_PER_S", "x", ""),
        ("WS_MAX_SUBSCRIPTIONS", "1001", ""),
        ("WS_MAX_CHANNELS", "0", ""),
        ("WS_MAX_BACKLOG_BYTES", "262655", ""),
        ("WS_MAX_BACKLOG_BYTES", "67108865", ""),
        ("WS_FLUSH_WINDOW_MS", "-1", "it is out of range"),
        ("WS_FLUSH_WINDOW_MS", "10001", "it is out of range"),
        ("WS_DRAIN_DELAY_S", "-1", ""),
        ("WS_DRAIN_DELAY_S", "3601", ""),
        ("WS_DRAIN_TIMEOUT_S", "nan", ""),
        ("WS_DRAIN_TIMEOUT_S", "10", "WS_DRAIN_DELAY_S is 10: raise this, or lower that"),
        ("WS_DRAIN_RECONNECTS_PER_S", "0", ""),
        ("WS_RULES", "[{", "it is not JSON: "),
        ("WS_RULES", "{}", "rules are an array of objects"),
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
        ("NATS_SUBJECTS", "somewhere.else", "no rule in WS_RULES matches anything of it"),
        ("NATS_SUBJECTS", "a,b,a", "'a' and 'a' overlap"),
        ("NATS_SUBJECTS", "a.>,b,a.*.c", "'a.>' and 'a.*.c' overlap"),
        ("NATS_CREDS", "/no/such/file", "there is no such file"),
        ("NATS_CREDS", "/", "that is a folder, and no file"),
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
    allowed = allowed_words(FIELDS[name.lower()])
    but = f", but {reason}" if reason else ";"
    assert line.startswith(f"{name}: got {value!r} from the environment{but}")
    assert line.endswith(f"; allowed: {allowed}") or "; allowed " in line
    assert line.count("; allowed") == 1


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
        ({"WS_AUTH": "jwt"}, "WS_JWT_KEYS", "WS_AUTH is jwt, which needs it or WS_JWT_SECRET"),
        (
            {"WS_JWT_SECRET": "s" * 32, "WS_JWT_KEYS": "a.pem"},
            "WS_JWT_KEYS",
            "WS_JWT_SECRET is set as well",
        ),
        ({"WS_AUTH": "jwt", "WS_JWT_SECRET": "short"}, "WS_JWT_SECRET", "fewer than 32 bytes"),
        (
            {"WS_AUTH": "jwt", "WS_JWT_SECRET": "s" * 32, "NATS_SUBJECTS": "wsgate.>"},
            "NATS_SUBJECTS",
            "overlaps 'wsgate.control.revoke', which is no channel",
        ),
        ({"WS_TLS_CERT": "own.pem"}, "WS_TLS_KEY", "WS_TLS_CERT is set"),
        ({"WS_TLS_KEY": "own.key"}, "WS_TLS_KEY", "WS_TLS_CERT is not set"),
        ({"NATS_CREDS": __file__, "NATS_TOKEN": "t"}, "NATS_TOKEN", "NATS_CREDS is set as well"),
        ({"NATS_CREDS": __file__, "NATS_USER": "u"}, "NATS_USER", "NATS_CREDS is set as well"),
        ({"NATS_PASSWORD": "p"}, "NATS_PASSWORD", "NATS_USER is not set"),
        ({"NATS_PASSWORD": "p", "NATS_TOKEN": "t"}, "NATS_PASSWORD", "NATS_USER is not set"),
    ],
)
def test_logins_do_not_mix(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    environment: Mapping[str, str],
    name: str,
    reason: str,
) -> None:
    Certificate(tmp_path, "own")
    monkeypatch.chdir(tmp_path)
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


@pytest.mark.parametrize(
    "keys", ["https://me:hunter2@issuer.example/jwks", "https://issuer.example/jwks?key=hunter2"]
)
def test_no_key_is_shown(monkeypatch: pytest.MonkeyPatch, keys: str) -> None:
    settings = Settings(ws_jwt_keys=[keys])
    assert "hunter2" not in f"{settings!r} {settings!s}"
    lines = problems(monkeypatch, WS_JWT_SECRET="hunter2", WS_JWT_KEYS=f"a.pem,{keys}")
    assert [line.partition(":")[0] for line in lines] == ["WS_JWT_SECRET", "WS_JWT_KEYS"]
    assert "hunter2" not in "".join(lines)


def test_settings_show_no_secret() -> None:
    settings = Settings(nats_url=["nats://me:hunter2@x"], nats_user="u", nats_password="hunter2")
    assert "hunter2" not in f"{settings!r} {settings!s}"
    with pytest.raises(ValidationError) as caught:
        Settings(nats_password="hunter2", nats_url="http://hunter2@x")
    assert "hunter2" not in str(caught.value)


def test_what_a_default_does_to_others_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = problems(monkeypatch, WS_PORT="3003")
    assert line.startswith("WS_ADMIN_PORT: got 3003 by default, but it is WS_PORT's")


def test_a_setting_that_does_not_exist() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(ws_prot=1)
    assert problems_of(caught.value) == ["WS_PROT: there is no such setting; did you mean WS_PORT?"]
