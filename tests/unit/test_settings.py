"""What settings there are, their defaults, and what follows from them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.support.certificates import Certificate
from tests.support.settings import load, only_environment
from wsgate.limits import EVENTS_BYTES_MIN, Limits
from wsgate.rules import DEFAULT_RULES, Kind, Rule, Rules
from wsgate.settings import Settings, reading
from wsgate.settings.groups import GROUPS
from wsgate.settings.problems import problems as problems_of
from wsgate.settings.words import allowed as allowed_words

FIELDS = Settings.model_fields


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    only_environment(monkeypatch)


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
    own = Certificate(tmp_path)
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
        WS_TLS_CERT=str(own.path),
        WS_TLS_KEY=str(own.key_path),
        LOG_LEVEL="WARNING",
        LOG_FORMAT="Text",
    )
    assert settings.ws_host == "127.0.0.1"
    assert (settings.ws_port, settings.ws_admin_port, settings.ws_max_connections) == (1, 2, 3)
    assert (settings.ws_auth, settings.ws_flush_window_ms) == ("none", 4)
    assert settings.blueprint().flush_window_s == 0.004
    assert Settings(ws_flush_window_ms="AUTO").blueprint().flush_window_s is None
    assert [rule.subject for rule in settings.ws_rules] == ["a.*"]
    assert settings.nats_url == ("nats://a:1", "tls://b", "nats://u:p@[::1]:5")
    assert settings.nats_subjects == ("a.*", "b")
    assert settings.nats_creds == creds
    assert (settings.ws_tls_cert, settings.ws_tls_key) == (own.path, own.key_path)
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
    # There are as many as at the start, whatever a file says since.
    assert settings.blueprint(workers=2).limits.handshakes_max == 50


def test_a_proxy_s_header_needs_a_proxy() -> None:
    settings = Settings(ws_trusted_proxies="10.0.0.0/8, ::1", ws_proxy_protocol="On")
    assert settings.ws_trusted_proxies == ("10.0.0.0/8", "::1")
    assert settings.ws_proxy_protocol == "on"


def test_control_subjects_are_channels_like_others_without_authentication() -> None:
    assert Settings(nats_subjects=[">"]).nats_subjects == (">",)


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
