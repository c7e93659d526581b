"""What must fit together, across settings.

A validator sees the valid ones among the fields above its own. So each of these stands at the
lowest of its fields, and finds a wrong combination even when other fields are wrong as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, field_validator
from pydantic_core.core_schema import ValidationInfo

from wsgate.auth.origins import is_url
from wsgate.control import GAP_SUBJECT, REVOKE_SUBJECT
from wsgate.protocol import is_channel_or_pattern
from wsgate.renaming import Renaming
from wsgate.rules import overlaps
from wsgate.settings.certificates import check_pair


class Relations(BaseModel):
    """Mixed into the model that has the fields; errors say what to do."""

    @field_validator("ws_tls_key", check_fields=False)
    @classmethod
    def _certificate_and_key(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if "ws_tls_cert" in info.data and (info.data["ws_tls_cert"] is None) != (key is None):
            state = "not set" if key else "set"
            raise ValueError(f"WS_TLS_CERT is {state}: set both, or neither")
        certificate = info.data.get("ws_tls_cert")
        if certificate is not None and key is not None:
            check_pair(certificate, key)
        return key

    @field_validator("ws_admin_port", check_fields=False)
    @classmethod
    def _own_port(cls, port: int, info: ValidationInfo) -> int:
        if port and port == info.data.get("ws_port"):
            raise ValueError("it is WS_PORT's: give one of them another")
        return port

    @field_validator("ws_proxy_protocol", check_fields=False)
    @classmethod
    def _header_of_somebody(cls, choice: str, info: ValidationInfo) -> str:
        if choice == "on" and info.data.get("ws_trusted_proxies") == ():
            raise ValueError("WS_TRUSTED_PROXIES is not set: list the proxies there")
        return choice

    @field_validator("ws_jwt_keys", check_fields=False)
    @classmethod
    def _one_kind_of_key(cls, keys: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if keys and info.data.get("ws_jwt_secret") is not None:
            raise ValueError("WS_JWT_SECRET is set as well: keep one of them")
        if len(keys) > 1 and any(is_url(key) for key in keys):
            raise ValueError("a URL stands alone: name one, or only files")
        # A secret that was no good is missing here, and is reported by itself.
        wanted = info.data.get("ws_auth") == "jwt" and "ws_jwt_secret" in info.data
        if wanted and not keys and info.data["ws_jwt_secret"] is None:
            raise ValueError("WS_AUTH is jwt, which needs it or WS_JWT_SECRET: set one of them")
        return keys

    @field_validator("ws_drain_timeout_s", check_fields=False)
    @classmethod
    def _time_to_drain(cls, timeout_s: float, info: ValidationInfo) -> float:
        delay_s = info.data.get("ws_drain_delay_s")
        if delay_s is not None and timeout_s <= delay_s:
            raise ValueError(f"WS_DRAIN_DELAY_S is {delay_s:g}: raise this, or lower that")
        return timeout_s

    @field_validator("ws_poll_channel", check_fields=False)
    @classmethod
    def _polled_is_delivered(cls, channel: str, info: ValidationInfo) -> str:
        rules, pattern = info.data.get("ws_rules"), channel.replace("{id}", "*")
        if info.data.get("ws_poll_url") is None or rules is None:
            return channel
        if not any(overlaps(pattern, rule.subject) for rule in rules):
            raise ValueError(
                "no rule in WS_RULES matches such channels, so nobody could get anything: add a"
                " rule, or name channels that a rule matches"
            )
        return channel

    @field_validator("nats_url", check_fields=False)
    @classmethod
    def _fed_by_somebody(cls, servers: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        # What was no good is missing here, and is reported by itself.
        others = [info.data.get(name, "wrong") for name in ("ws_poll_url", "ws_publish_token")]
        if not servers and not any(others):
            raise ValueError(
                "nothing else feeds this gateway: set WS_POLL_URL or WS_PUBLISH_TOKEN, or name"
                " servers"
            )
        return servers

    @field_validator("nats_subjects", check_fields=False)
    @classmethod
    def _control_is_no_channel(
        cls, subjects: tuple[str, ...], info: ValidationInfo
    ) -> tuple[str, ...]:
        for subject in subjects:
            if info.data.get("ws_auth") == "jwt" and overlaps(subject, REVOKE_SUBJECT):
                # Clients could read there who is cut off.
                raise ValueError(
                    f"with WS_AUTH=jwt {subject!r} overlaps {REVOKE_SUBJECT!r}, which is no"
                    " channel: name subjects that do not"
                )
        return subjects

    @field_validator("nats_subjects", check_fields=False)
    @classmethod
    def _something_is_delivered(
        cls, subjects: tuple[str, ...], info: ValidationInfo
    ) -> tuple[str, ...]:
        rules = info.data.get("ws_rules") if info.data.get("nats_url") else None
        if rules is not None and not any(
            overlaps(subject, rule.subject) for subject in subjects for rule in rules
        ):
            raise ValueError(
                "no rule in WS_RULES matches anything of it, so nobody could get anything: add a"
                " rule, or a subject that a rule matches"
            )
        return subjects

    @field_validator("nats_user", "nats_token", check_fields=False)
    @classmethod
    def _one_login(cls, value: Any, info: ValidationInfo) -> Any:
        others = [name for name in ("nats_creds", "nats_user") if info.data.get(name) is not None]
        if value is not None and others:
            raise ValueError(f"{others[0].upper()} is set as well: keep one of them")
        return value

    @field_validator("nats_password", check_fields=False)
    @classmethod
    def _password_of_a_user(cls, value: SecretStr | None, info: ValidationInfo) -> Any:
        if value is not None and "nats_user" in info.data and info.data["nats_user"] is None:
            raise ValueError("NATS_USER is not set: set it, or leave this out")
        return value

    @field_validator("ws_aggregate_from", check_fields=False)
    @classmethod
    def _reads_nothing_that_it_writes(
        cls, raw_prefix: str | None, info: ValidationInfo
    ) -> str | None:
        prefix, channels = info.data.get("ws_aggregate_to"), info.data.get("nats_subjects")
        if prefix is None or channels is None:
            return raw_prefix
        if raw_prefix is None:
            if prefix:
                raise ValueError("WS_AGGREGATE_TO is set: set both, or neither")
            return None
        if info.data.get("nats_url") == ():
            raise ValueError("NATS_URL is none, and what is aggregated comes and goes over NATS")
        renaming = Renaming(raw=raw_prefix, channels=prefix)
        try:
            raw_subjects = [renaming.raw_of(channel) for channel in channels]
        except ValueError as error:
            raise ValueError(
                f"of NATS_SUBJECTS {error}, which is WS_AGGREGATE_TO: gateways listen to what is"
                " republished, so name that there"
            ) from None
        for raw in raw_subjects:
            if not is_channel_or_pattern(raw):
                raise ValueError(f"{raw!r} is too long for a subject: choose shorter tokens")
            for written in (*channels, GAP_SUBJECT):
                if overlaps(raw, written):
                    raise ValueError(
                        f"wsgate aggregate would read what it writes, for ever: {raw!r} overlaps"
                        f" {written!r}. Choose a prefix that nothing in NATS_SUBJECTS matches"
                    )
        for channel in channels:
            if overlaps(channel, GAP_SUBJECT):
                raise ValueError(
                    f"{channel!r} of NATS_SUBJECTS overlaps {GAP_SUBJECT!r}, which is no channel:"
                    " name subjects there that do not"
                )
        return raw_prefix
