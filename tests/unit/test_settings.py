from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.support.settings import only_environment
from wsgate.limits import EVENTS_BYTES_MIN, Limits
from wsgate.rules import DEFAULT_RULES, Kind, Rule, Rules
from wsgate.settings import Settings, reading
from wsgate.settings.groups import GROUPS
from wsgate.settings.problems import problems as problems_of
from wsgate.settings.reading import ConfigError
from wsgate.settings.words import allowed as allowed_words

FIELDS = Settings.model_fields


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    only_environment(monkeypatch)


def load(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return reading.load().settings


def problems(monkeypatch: pytest.MonkeyPatch, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(monkeypatch, **environment)
    assert str(caught.value).splitlines() == list(caught.value.problems)
    return list(caught.value.problems)


def test_defaults() -> None:
    settings = reading.load().settings
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
    settings = Settings(
        ws_port=0, ws_admin_port=0, nats_url=["nats://x"], nats_subjects=["x"], ws_rules=rules
    )
    assert (settings.ws_port, settings.ws_admin_port) == (0, 0)
    assert settings.ws_max_connections == 8
    assert settings.nats_url == ("nats://x",)
    assert settings.ws_rules is rules


def test_groups_have_the_fields_in_order() -> None:
    assert [name for group in GROUPS for name in group.model_fields] == list(FIELDS)


@pytest.mark.parametrize(
    ("text", "streams"), [("auto", None), ("off", ()), ("B, A,", ("B", "A")), ("", None)]
)
def test_which_streams(
    monkeypatch: pytest.MonkeyPatch, text: str, streams: tuple[str, ...] | None
) -> None:
    nats = load(monkeypatch, NATS_JETSTREAM=text).blueprint().nats
    assert nats is not None and nats.streams == streams


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a.b", "'a.b' is no name of a stream"),
        ("S,a b", "'a b' is no name of a stream"),
        ("S,off", "auto and off stand alone"),
        ("off,auto", "auto and off stand alone"),
    ],
)
def test_what_are_no_streams(monkeypatch: pytest.MonkeyPatch, text: str, complaint: str) -> None:
    with pytest.raises(reading.ConfigError, match=complaint):
        load(monkeypatch, NATS_JETSTREAM=text)


@pytest.mark.parametrize(
    "name", ["nats_url", "nats_subjects", "nats_jetstream", "ws_allowed_origins"]
)
def test_a_list_that_must_not_be_empty(name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(**{name: []})
    assert "but the list is empty" in problems_of(caught.value)[0]


@pytest.mark.parametrize("name", ["ws_trusted_proxies", "ws_jwt_keys"])
def test_a_list_that_may_be_empty(name: str) -> None:
    assert getattr(Settings(**{name: []}), name) == ()


@pytest.mark.parametrize("name", ["ws_port", "ws_workers", "ws_max_fragments", "ws_jwt_leeway_s"])
def test_true_is_no_number(name: str) -> None:
    with pytest.raises(ValidationError, match="it is no number"):
        Settings(**{name: True})


def test_as_many_workers_as_cores_or_as_said() -> None:
    assert Settings(ws_workers=" AUTO ").worker_count() == len(os.sched_getaffinity(0))
    assert Settings(ws_workers="3").worker_count() == 3


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Settings().ws_port = 1


def test_limits_follow_the_settings() -> None:
    assert Settings().limits() == Limits()
    settings = Settings(
        ws_max_connections=1,
        ws_max_connections_per_address=2,
        ws_max_handshakes=3,
        ws_max_handshakes_per_s=4,
        ws_handshake_timeout_s=5.5,
        ws_max_header_bytes=6000,
        ws_max_message_bytes=7000,
        ws_max_fragments=8,
        ws_max_commands_per_s=9,
        ws_max_pings_per_s=10,
        ws_max_subscriptions=11,
        ws_max_channels=12,
        ws_max_nats_rate=14,
        ws_max_broadcast_rate=15,
        ws_max_backlog_bytes=EVENTS_BYTES_MIN,
        ws_auth_timeout_s=13,
    )
    assert settings.limits() == Limits(
        connections_max=1,
        connections_per_address_max=2,
        handshakes_max=3,
        handshakes_per_s=4,
        handshake_timeout_s=5.5,
        header_bytes_max=6000,
        message_bytes_max=7000,
        fragments_max=8,
        commands_per_s=9,
        pings_per_s=10,
        subscriptions_max=11,
        channels_max=12,
        publications_per_s=14,
        broadcasts_per_s=15,
        events_bytes_max=EVENTS_BYTES_MIN,
        auth_timeout_s=13,
    )


def test_0_is_no_limit_where_a_setting_says_so() -> None:
    names = [name for name, field in FIELDS.items() if "0 is no limit" in allowed_words(field)]
    assert len(names) == 9
    limits = Settings(**dict.fromkeys(names, 0)).limits()
    assert limits.connections_per_address_max is limits.handshakes_per_s is None
    assert limits.publications_per_s is limits.broadcasts_per_s is None
    assert limits.commands_per_s is limits.pings_per_s is limits.connection_age_max_s is None


def test_what_each_worker_counts_for_itself_is_shared_among_them() -> None:
    settings = Settings(ws_workers=3, ws_max_handshakes=100, ws_max_handshakes_per_s=300)
    limits = settings.blueprint().limits
    assert (limits.handshakes_max, limits.handshakes_per_s) == (34, 100.0)
    assert limits.connections_max == settings.limits().connections_max, "counted over all"


def test_a_proxy_s_header_needs_a_proxy() -> None:
    settings = Settings(ws_trusted_proxies="10.0.0.0/8, ::1", ws_proxy_protocol="On")
    assert settings.ws_trusted_proxies == ("10.0.0.0/8", "::1")
    assert settings.ws_proxy_protocol == "on"


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
        ("WS_FLUSH_WINDOW_MS", "-1", ""),
        ("WS_FLUSH_WINDOW_MS", "10001", ""),
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


@pytest.mark.parametrize(
    "keys", ["https://me:hunter2@issuer.example/jwks", "https://issuer.example/jwks?key=hunter2"]
)
def test_no_key_is_shown(monkeypatch: pytest.MonkeyPatch, keys: str) -> None:
    settings = Settings(ws_jwt_keys=[keys])
    assert "hunter2" not in f"{settings!r} {settings!s}"
    lines = problems(monkeypatch, WS_JWT_SECRET="hunter2", WS_JWT_KEYS=f"a.pem,{keys}")
    assert [line.partition(":")[0] for line in lines] == ["WS_JWT_SECRET", "WS_JWT_KEYS"]
    assert "hunter2" not in "".join(lines)


def test_control_subjects_are_channels_like_others_without_authentication() -> None:
    assert Settings(nats_subjects=[">"]).nats_subjects == (">",)


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


def test_subjects_that_no_rule_matches() -> None:
    settings = Settings(
        nats_subjects=["a.>", "b.*", "c"],
        ws_rules=Rules([Rule("a.*.x", "t", Kind.STATE), Rule("b.>", "t", Kind.STATE)]),
    )
    assert settings.subjects_without_rule() == ["c"]
    assert Settings().subjects_without_rule() == []


def test_rules_that_no_subject_feeds() -> None:
    settings = Settings(nats_subjects=["global.>"])
    assert settings.rules_without_subject() == ["token.*.update", "token.*.comment"]
    assert Settings().rules_without_subject() == []
