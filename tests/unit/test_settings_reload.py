"""Which settings a SIGHUP takes up, and which it has to say that it does not.

Those of ``wsgate aggregate`` alone are no affair of a gateway, whenever they change.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from wsgate.rules import Kind, Rule, Rules
from wsgate.settings import Settings
from wsgate.settings.groups.aggregation import Aggregation
from wsgate.supervisor.run import ONLY_AT_START, fixed_that_changed

# With these set, all others mean something.
BEFORE: dict[str, Any] = {
    "ws_auth": "jwt",
    "ws_tls_cert": Path("old.pem"),
    "ws_tls_key": Path("old.pem"),
    "ws_workers": 1,
}
OTHER: dict[str, Any] = {
    "ws_host": "::1",
    "ws_tls_cert": Path("new.pem"),
    "ws_tls_key": Path("new.pem"),
    "ws_trusted_proxies": ("::1",),
    "ws_proxy_protocol": "on",
    "ws_auth": "none",
    "ws_jwt_secret": SecretStr("s" * 32),
    "ws_jwt_keys": ("a.pem",),
    "ws_jwt_audience": "a",
    "ws_jwt_issuer": "i",
    "ws_jwt_channels_claim": "c",
    "ws_jwt_channels_default": "none",
    "ws_allowed_origins": ("null",),
    "ws_deflate": False,
    "ws_rules": Rules([Rule("a", "a", Kind.STATE)]),
    "ws_poll_url": "http://x",
    "ws_poll_token": SecretStr("t"),
    "ws_poll_items": "a",
    "ws_poll_id": "a",
    "ws_poll_version": "a",
    "ws_poll_cursor": "a",
    "ws_poll_channel": "a.{id}",
    "ws_publish_token": SecretStr("t"),
    "nats_url": ("nats://x",),
    "nats_subjects": ("a",),
    "nats_jetstream": ("off",),
    "nats_creds": Path("a.creds"),
    "nats_user": "u",
    "nats_password": SecretStr("p"),
    "nats_token": SecretStr("t"),
    "ws_aggregate_from": "raw",
    "log_level": "debug",
    "log_format": "text",
}


NO_GATEWAY_S = set(Aggregation.model_fields) - {"ws_aggregate_from"}


@pytest.mark.parametrize(
    "name", [name for name in Settings.model_fields if name not in NO_GATEWAY_S]
)
def test_a_setting_is_taken_up_or_said_to_need_a_start(name: str) -> None:
    then = Settings.model_construct(**BEFORE)
    value = getattr(then, name)
    now = Settings.model_construct(**{**BEFORE, name: OTHER[name] if name in OTHER else value + 1})
    assert fixed_that_changed(then, then) == []
    assert fixed_that_changed(then, now) == ([name.upper()] if name in ONLY_AT_START else [])
    assert name in ONLY_AT_START or then.blueprint() != now.blueprint()
