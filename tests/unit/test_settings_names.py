"""Names in the environment that are no settings, and what else deserves a warning."""

from __future__ import annotations

import pytest

from tests.support.settings import only_environment
from wsgate.settings.advice import Advice, of_names
from wsgate.settings.names import GO_ONLY, unknown_variables
from wsgate.settings.reading import ConfigError, load


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("WS_MAX_CONNECTION", "WS_MAX_CONNECTIONS"),
        ("NATS_URLS", "NATS_URL"),
        ("ws_prot", "WS_PORT"),
        ("WS_CONFIGS", "WS_CONFIG"),
        ("LOG_LEVLE", "LOG_LEVEL"),
        ("NATS_ZZZZZZZZZZZZ", None),
    ],
)
def test_unknown_variables(variable: str, meant: str | None) -> None:
    known = {"WS_PORT": "1", "nats_url": "x", "WS_CONFIG": "x", "PATH": "", "SNATS_X": ""}
    assert list(unknown_variables({**known, variable: "1"})) == [(variable, meant)]


def test_what_container_platforms_set_is_nobody_s_mistake() -> None:
    linked = {
        "NATS_PORT": "tcp://10.0.0.1:4222",
        "NATS_PORT_4222_TCP": "tcp://10.0.0.1:4222",
        "NATS_PORT_4222_TCP_ADDR": "10.0.0.1",
        "NATS_PORT_4222_TCP_PORT": "4222",
        "NATS_PORT_4222_TCP_PROTO": "tcp",
        "NATS_NAME": "/wsgate/nats",
        "NATS_ENV_NATS_SERVER": "2.12",
        "NATS_SERVICE_HOST": "10.0.0.1",
        "NATS_SERVICE_PORT": "4222",
        "NATS_SERVICE_PORT_CLIENT": "4222",
        "NATS_CLUSTER_SERVICE_HOST": "10.0.0.1",
        "NATS_CLUSTER_PORT": "tcp://10.0.0.1:4222",
        "WS_SERVICE_HOST": "10.0.0.2",
        "LOG_PORT_514_UDP": "udp://10.0.0.3:514",
    }
    assert list(unknown_variables(linked)) == []
    assert [name for name, _ in unknown_variables({"NATS_PORT": "4222"})] == ["NATS_PORT"]


def test_what_only_the_gateway_in_go_knew_is_said_once() -> None:
    environment = {**dict.fromkeys(GO_ONLY, "1"), "WS_PROT": "1"}
    unknown, idle = of_names(environment)
    assert unknown.details == {"setting": "WS_PROT", "did_you_mean": "WS_PORT"}
    assert idle.details == {
        "settings": "WS_MAX_GOROUTINES, WS_WORKER_POOL_SIZE, WS_WORKER_QUEUE_SIZE"
    }
    assert str(unknown) == ("unknown setting ignored (setting: WS_PROT, did_you_mean: WS_PORT)")


def warnings(monkeypatch: pytest.MonkeyPatch, **variables: str) -> list[Advice]:
    only_environment(monkeypatch, **variables)
    return list(load().warnings)


def test_subjects_without_a_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    (warning,) = warnings(monkeypatch, NATS_SUBJECTS="global.>,elsewhere.*")
    assert warning.details == {"nats_subject": "elsewhere.*"}


def test_rules_without_a_subject_if_somebody_wrote_them(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = (
        '[{"subject":"a.*","type":"a","kind":"state"},{"subject":"b","type":"b","kind":"state"}]'
    )
    (warning,) = warnings(monkeypatch, NATS_SUBJECTS="a.>", WS_RULES=rules)
    assert warning.details == {"rule_subject": "b"}
    assert warnings(monkeypatch, NATS_SUBJECTS="global.>") == []


def test_a_drain_for_which_there_is_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    (warning,) = warnings(monkeypatch, WS_DRAIN_TIMEOUT_S="13")
    assert warning.details == {
        "setting": "WS_DRAIN_TIMEOUT_S",
        "expected": "more than WS_DRAIN_DELAY_S and 3 s",
    }
    assert warnings(monkeypatch, WS_DRAIN_TIMEOUT_S="13.1") == []


def test_a_mistake_comes_with_what_may_explain_it(monkeypatch: pytest.MonkeyPatch) -> None:
    only_environment(monkeypatch, WS_AUTH="jwt", WS_JWT_SECRE="s" * 32)
    with pytest.raises(ConfigError) as caught:
        load()
    (warning,) = caught.value.warnings
    assert warning.details["did_you_mean"] == "WS_JWT_SECRET"
