"""Settings: every one there is, what it may be, and what must fit together.

Each setting is a field of :class:`Settings`; its name in capitals is the environment variable.
``docs/configuration.md`` is the page for users; a test keeps its table equal to the fields.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from stat import S_ISREG
from typing import Annotated, Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

from orjson import JSONDecodeError
from pydantic import BeforeValidator, Field, SecretStr, field_validator
from pydantic_core.core_schema import ValidationInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from wsgate.auth.limits import LEEWAY_MAX_S, SECRET_BYTES_MIN, TICKET_TTL_MAX_S
from wsgate.auth.origins import is_url
from wsgate.auth.permissions import EVERYTHING, NOTHING
from wsgate.auth.verifier import TokenOptions
from wsgate.blueprint import AuthBlueprint, Blueprint, NatsBlueprint, TlsFiles
from wsgate.control import REVOKE_SUBJECT
from wsgate.limits import EVENTS_BYTES_MIN, Limits
from wsgate.log import LogFormat, LogLevel
from wsgate.networks import TrustedNetworks
from wsgate.origins import ALLOWED_TEXT as ORIGINS_ALLOWED
from wsgate.origins import Origins
from wsgate.protocol import (
    COMMAND_BYTES_MAX,
    CONNECTION_SUBSCRIPTIONS_MAX,
    is_channel_or_pattern,
)
from wsgate.rules import DEFAULT_RULES, Rules, overlaps

CONNECTIONS_MAX: Final = 1_000_000
FLUSH_WINDOW_MS_MAX: Final = 10_000
HEADER_BYTES_MIN: Final = 1024  # browsers send some hundred bytes, without cookies and a token
HEADER_BYTES_MAX: Final = 16 * 1024  # picows reads no more
HANDSHAKE_TIMEOUT_MAX_S: Final = 60
HANDSHAKES_MAX: Final = 1_000_000
RATE_MAX: Final = 1_000_000
MESSAGE_BYTES_MIN: Final = 1024
FRAGMENTS_MAX: Final = 65_536
WORKERS_MAX: Final = 256
DRAIN_MAX_S: Final = 3600
CHANNELS_MAX: Final = 10_000_000
EVENTS_BYTES_MAX: Final = 64 * 1024 * 1024

Auth = Literal["none", "jwt"]


class Allowed(NamedTuple):
    """What a setting may be, in words."""

    text: str


def _server_url(text: str) -> str:
    # From None, and without the text: a URL may hold a password.
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("nats", "tls") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("not all in it are such URLs")
    return text


def _subjects(subjects: Sequence[str]) -> tuple[str, ...]:
    for place, subject in enumerate(subjects):
        if not is_channel_or_pattern(subject):
            raise ValueError(f"{subject!r} is not a NATS subject")
        for earlier in subjects[:place]:
            if overlaps(earlier, subject):
                # NATS would deliver what both match twice.
                raise ValueError(f"{earlier!r} and {subject!r} overlap")
    return tuple(subjects)


def _servers(urls: Sequence[str]) -> tuple[str, ...]:
    return tuple(_server_url(url) for url in urls)


def _origins(entries: Sequence[str]) -> tuple[str, ...]:
    Origins(entries)
    return tuple(entries)


def _networks(entries: Sequence[str]) -> tuple[str, ...]:
    TrustedNetworks(entries)
    return tuple(entries)


def _listed(check: Callable[[Sequence[str]], tuple[str, ...]]) -> BeforeValidator:
    """A list as the environment writes it, "a,b", or as Python does."""

    def parse(value: object) -> object:
        if isinstance(value, str):
            value = [item.strip() for item in value.split(",") if item.strip()]
            if not value:
                raise ValueError("the list is empty")
        if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
            raise ValueError("it is no list of strings")
        return check(value)

    return BeforeValidator(parse)


def _rules(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return Rules.from_json(value)
    except JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error}") from None


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _readable(path: Path) -> Path:
    try:
        found = S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        found = False
    except OSError as error:  # a folder on the way is closed to us, the name is too long
        raise ValueError(f"the file cannot be looked at: {error.strerror}") from None
    if not found:
        raise ValueError("there is no such file")
    if not os.access(path, os.R_OK):
        raise ValueError("the file cannot be read")
    return path


def _whole(least: int, most: int, *, of: str = "", zero: str = "") -> tuple[Any, Allowed]:
    """The bounds of a whole number, and how they read."""
    what = f"a whole number{of}, {least} to {most}" + (f"; {zero}" if zero else "")
    return Field(ge=least, le=most), Allowed(what)


_UNLIMITED: Final = "0 is no limit"
_BYTES: Final = " of bytes"
_PORT: Final = Allowed("a port, 0 to 65535 (0 takes any free one)")


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


class Settings(BaseSettings):
    """Keyword arguments go before environment variables, those before the defaults."""

    model_config = SettingsConfigDict(
        frozen=True,
        arbitrary_types_allowed=True,
        # As compose files and unit files write it: WS_PORT= means "not set".
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    ws_host: Annotated[
        str, Field(pattern=r"^[^\s/]+$"), Allowed("an address or host name to listen on")
    ] = Field(default="0.0.0.0", description="Address that both ports listen on")
    ws_port: Annotated[int, Field(ge=0, le=65535), _PORT] = Field(
        default=3002, description="Port for WebSocket clients"
    )
    ws_tls_cert: Annotated[Path | None, Allowed("a file that can be read, with WS_TLS_KEY")] = (
        Field(
            default=None,
            description="Certificate and its chain (PEM) for WS_PORT, which then is TLS",
        )
    )
    ws_tls_key: Annotated[Path | None, Allowed("a file that can be read, with WS_TLS_CERT")] = (
        Field(
            default=None,
            validate_default=True,
            description="Private key (PEM, not encrypted) of WS_TLS_CERT",
        )
    )
    ws_admin_port: Annotated[
        int,
        Field(ge=0, le=65535),
        Allowed(f"{_PORT.text}, not WS_PORT's"),
    ] = Field(default=3003, description="Port for health and metrics; not for the public")
    ws_workers: Annotated[
        int | Literal["auto"],
        BeforeValidator(_lower),
        Allowed(f"auto, or a whole number, 1 to {WORKERS_MAX}"),
    ] = Field(
        default="auto",
        description="Processes that serve clients; auto: one for each core",
    )
    ws_max_connections: Annotated[
        int,
        Field(ge=1, le=CONNECTIONS_MAX),
        Allowed(f"a whole number, 1 to {CONNECTIONS_MAX}"),
    ] = Field(default=10_000, description="Clients past this number are refused with 503")
    ws_max_connections_per_address: Annotated[int, *_whole(0, CONNECTIONS_MAX, zero=_UNLIMITED)] = (
        Field(
            default=0,
            description="Clients past this number of one IPv4 address, or one /64 of IPv6, are"
            " refused with 503",
        )
    )
    ws_max_handshakes: Annotated[int, *_whole(1, HANDSHAKES_MAX)] = Field(
        default=4096, description="Sockets that may be about to upgrade at once"
    )
    ws_max_handshakes_per_s: Annotated[int, *_whole(0, RATE_MAX, zero=_UNLIMITED)] = Field(
        default=0, description="New sockets past this rate are refused with 503"
    )
    ws_handshake_timeout_s: Annotated[
        float,
        Field(gt=0, le=HANDSHAKE_TIMEOUT_MAX_S),
        Allowed(f"seconds, above 0 to {HANDSHAKE_TIMEOUT_MAX_S}"),
    ] = Field(
        default=5.0,
        description="How long a socket may take to upgrade, with TLS and a proxy's header",
    )
    ws_max_header_bytes: Annotated[int, *_whole(HEADER_BYTES_MIN, HEADER_BYTES_MAX, of=_BYTES)] = (
        Field(default=8192, description="A longer head of a request is refused with 431")
    )
    ws_trusted_proxies: Annotated[
        tuple[str, ...],
        NoDecode,
        _listed(_networks),
        Allowed("a comma list of networks such as 10.0.0.0/8 or 2001:db8::/32, and addresses"),
    ] = Field(default=(), description="Proxies that are believed when they say whom they speak for")
    ws_proxy_protocol: Annotated[
        Literal["off", "on"],
        BeforeValidator(_lower),
        Allowed("off, or on with WS_TRUSTED_PROXIES"),
    ] = Field(
        default="off",
        description="Whether connections of trusted proxies begin with a PROXY protocol header",
    )
    ws_max_message_bytes: Annotated[
        int, *_whole(MESSAGE_BYTES_MIN, COMMAND_BYTES_MAX, of=_BYTES)
    ] = Field(
        default=COMMAND_BYTES_MAX,
        description="A client that sends a longer message, as it comes or inflated, is closed with"
        " 1009",
    )
    ws_max_fragments: Annotated[int, *_whole(1, FRAGMENTS_MAX)] = Field(
        default=64, description="A client that cuts a message into more is closed with 1009"
    )
    ws_max_commands_per_s: Annotated[int, *_whole(0, RATE_MAX, zero=_UNLIMITED)] = Field(
        default=20,
        description="A client that sends more, after 10 s' worth at once, is closed with 4504",
    )
    ws_max_pings_per_s: Annotated[int, *_whole(0, RATE_MAX, zero=_UNLIMITED)] = Field(
        default=5,
        description="A client that sends more ping frames, after 4 s' worth at once, is closed"
        " with 4504",
    )
    ws_max_subscriptions: Annotated[int, *_whole(1, CONNECTION_SUBSCRIPTIONS_MAX)] = Field(
        default=CONNECTION_SUBSCRIPTIONS_MAX,
        description="Subscriptions of one client; those past it have an error in the reply",
    )
    ws_max_channels: Annotated[int, *_whole(1, CHANNELS_MAX)] = Field(
        default=100_000,
        description="Channels that are remembered; past it the longest unused is forgotten",
    )
    ws_max_backlog_bytes: Annotated[
        int,
        Field(ge=EVENTS_BYTES_MIN, le=EVENTS_BYTES_MAX),
        Allowed(
            f"a whole number of bytes, {EVENTS_BYTES_MIN} (the largest publication has to fit) to"
            f" {EVENTS_BYTES_MAX}"
        ),
    ] = Field(
        default=1024 * 1024, description="Events owed to one client; past it its rule's overflow"
    )
    ws_auth: Annotated[Auth, BeforeValidator(_lower), Allowed("none or jwt")] = Field(
        default="none",
        description="Who may connect and subscribe; none: anybody, to all that rules allow",
    )
    ws_jwt_secret: Annotated[
        SecretStr | None,
        Allowed(
            f"text of at least {SECRET_BYTES_MIN} bytes, with WS_AUTH=jwt, without WS_JWT_KEYS"
        ),
    ] = Field(default=None, description="Secret that tokens are signed with, for HS256")
    ws_jwt_keys: Annotated[
        tuple[str, ...],
        NoDecode,
        _listed(tuple),
        Allowed("PEM files or a JWKS file, or the http or https URL of a JWKS; with WS_AUTH=jwt"),
    ] = Field(
        default=(),
        description="Public keys of those who sign tokens, for RS256, ES256 and EdDSA",
        repr=False,
        validate_default=True,  # with WS_AUTH=jwt it may be missing
    )
    ws_jwt_audience: Annotated[str | None, Allowed("text")] = Field(
        default=None,
        description="Must be among a token's aud; unset, a token may not name any",
    )
    ws_jwt_issuer: Annotated[str | None, Allowed("text")] = Field(
        default=None, description="Must be a token's iss; unset, any will do"
    )
    ws_jwt_leeway_s: Annotated[
        float, Field(ge=0, le=LEEWAY_MAX_S), Allowed(f"seconds, 0 to {LEEWAY_MAX_S:g}")
    ] = Field(default=10.0, description="How far the clocks of issuers and gateway may differ")
    ws_jwt_channels_claim: Annotated[str, Field(min_length=1), Allowed("the name of a claim")] = (
        Field(
            default="channels", description="Claim with the patterns that a token permits, an array"
        )
    )
    ws_jwt_channels_default: Annotated[
        Literal["all", "none"], BeforeValidator(_lower), Allowed("all or none")
    ] = Field(
        default="all",
        description="What a token without that claim permits: all that rules allow, or nothing",
    )
    ws_auth_timeout_s: Annotated[float, Field(gt=0, le=300), Allowed("seconds, above 0 to 300")] = (
        Field(
            default=10.0,
            description="How long a client may take to send its token after the upgrade",
        )
    )
    ws_ticket_ttl_s: Annotated[
        float,
        Field(gt=0, le=TICKET_TTL_MAX_S),
        Allowed(f"seconds, above 0 to {TICKET_TTL_MAX_S:g}"),
    ] = Field(default=30.0, description="How long a ticket may be used, once, in place of a token")
    ws_allowed_origins: Annotated[
        tuple[str, ...], NoDecode, _listed(_origins), Allowed(ORIGINS_ALLOWED)
    ] = Field(
        default=("*",), description="Pages of which sites may connect; others are refused with 403"
    )
    ws_flush_window_ms: Annotated[
        int,
        Field(ge=0, le=FLUSH_WINDOW_MS_MAX),
        Allowed(f"a whole number of milliseconds, 0 to {FLUSH_WINDOW_MS_MAX}"),
    ] = Field(default=0, description="How long publications are gathered before they are written")
    ws_deflate: Annotated[bool, Allowed("true or false")] = Field(
        default=True,
        description="Whether publications are compressed, once, for clients that can inflate them",
    )
    ws_drain_delay_s: Annotated[
        float, Field(ge=0, le=DRAIN_MAX_S), Allowed(f"seconds, 0 to {DRAIN_MAX_S}")
    ] = Field(
        default=10.0,
        description="After SIGTERM: how long to be unready, and to accept all the same, until the"
        " load balancer has noticed",
    )
    ws_drain_timeout_s: Annotated[
        float,
        Field(gt=0, le=DRAIN_MAX_S),
        Allowed(f"seconds, above WS_DRAIN_DELAY_S to {DRAIN_MAX_S}"),
    ] = Field(default=60.0, description="How long after SIGTERM everything has to be over")
    ws_drain_reconnects_per_s: Annotated[
        float, Field(gt=0, le=RATE_MAX), Allowed(f"a number, above 0 to {RATE_MAX}")
    ] = Field(
        default=1000.0,
        description="How many clients a second the other gateways can accept of those sent away",
    )
    ws_rules: Annotated[
        Rules,
        NoDecode,
        BeforeValidator(_rules),
        Allowed("a JSON array of objects with subject, type, kind and, if wanted, overflow"),
    ] = Field(
        default=DEFAULT_RULES,
        description="Which channels there are, and how each is treated",
        repr=False,
    )
    nats_url: Annotated[
        tuple[str, ...],
        NoDecode,
        _listed(_servers),
        Allowed("a comma list of nats://host:port or tls://host:port"),
    ] = Field(
        default=("nats://127.0.0.1:4222",),
        description="NATS servers; any one of them will do",
        repr=False,
    )
    nats_subjects: Annotated[
        tuple[str, ...],
        NoDecode,
        _listed(_subjects),
        Allowed("a comma list of NATS subjects, no two of which overlap"),
    ] = Field(
        default=("token.*.update", "token.*.comment", "global.>"),
        description="What to ask NATS for",
    )
    nats_creds: Annotated[
        Path | None, Allowed("a file that can be read, without NATS_USER and NATS_TOKEN")
    ] = Field(default=None, description="Credentials file for NATS (JWT and seed)")
    nats_user: Annotated[str | None, Allowed("text, without NATS_CREDS and NATS_TOKEN")] = Field(
        default=None, description="User name for NATS"
    )
    nats_password: Annotated[SecretStr | None, Allowed("text, with NATS_USER")] = Field(
        default=None, description="Password for NATS"
    )
    nats_token: Annotated[SecretStr | None, Allowed("text, without NATS_CREDS and NATS_USER")] = (
        Field(None, description="Token for NATS")
    )
    log_level: Annotated[
        LogLevel, BeforeValidator(_lower), Allowed("debug, info, warning or error")
    ] = Field(default="info", description="Least level that is logged")
    log_format: Annotated[LogFormat, BeforeValidator(_lower), Allowed("json or text")] = Field(
        default="json", description="One JSON object a line, or text for people"
    )

    # A validator sees the valid ones among the fields above its own, so these find a wrong
    # combination even when other fields are wrong as well.

    @field_validator("ws_admin_port")
    @classmethod
    def _own_port(cls, port: int, info: ValidationInfo) -> int:
        if port and port == info.data.get("ws_port"):
            raise ValueError("it is WS_PORT's")
        return port

    @field_validator("ws_workers")
    @classmethod
    def _some_workers(cls, workers: int | Literal["auto"]) -> int | Literal["auto"]:
        if workers != "auto" and not 1 <= workers <= WORKERS_MAX:
            raise ValueError("it is out of range")
        return workers

    @field_validator("ws_drain_timeout_s")
    @classmethod
    def _time_to_drain(cls, timeout_s: float, info: ValidationInfo) -> float:
        delay_s = info.data.get("ws_drain_delay_s")
        if delay_s is not None and timeout_s <= delay_s:
            raise ValueError(f"WS_DRAIN_DELAY_S is {delay_s:g}")
        return timeout_s

    @field_validator("ws_proxy_protocol")
    @classmethod
    def _header_of_somebody(cls, choice: str, info: ValidationInfo) -> str:
        if choice == "on" and info.data.get("ws_trusted_proxies") == ():
            raise ValueError("WS_TRUSTED_PROXIES is not set: there is no proxy to believe")
        return choice

    @field_validator("ws_tls_cert", "ws_tls_key", "nats_creds")
    @classmethod
    def _file_readable(cls, path: Path | None) -> Path | None:
        return path and _readable(path)

    @field_validator("ws_tls_key")
    @classmethod
    def _certificate_and_key(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if "ws_tls_cert" in info.data and (info.data["ws_tls_cert"] is None) != (key is None):
            raise ValueError(f"WS_TLS_CERT is {'not set' if key else 'set'}")
        return key

    @field_validator("nats_user", "nats_token")
    @classmethod
    def _one_login(cls, value: Any, info: ValidationInfo) -> Any:
        others = [name for name in ("nats_creds", "nats_user") if info.data.get(name) is not None]
        if value is not None and others:
            raise ValueError(f"{others[0].upper()} is set as well")
        return value

    @field_validator("nats_password")
    @classmethod
    def _password_of_a_user(cls, value: SecretStr | None, info: ValidationInfo) -> Any:
        if value is not None and "nats_user" in info.data and info.data["nats_user"] is None:
            raise ValueError("NATS_USER is not set")
        return value

    @field_validator("ws_jwt_secret")
    @classmethod
    def _secret_is_long(cls, secret: SecretStr | None) -> Any:
        if secret is not None and len(secret.get_secret_value().encode()) < SECRET_BYTES_MIN:
            raise ValueError(f"it has fewer than {SECRET_BYTES_MIN} bytes")
        return secret

    @field_validator("ws_jwt_keys")
    @classmethod
    def _one_kind_of_key(cls, keys: tuple[str, ...], info: ValidationInfo) -> Any:
        if keys and info.data.get("ws_jwt_secret") is not None:
            raise ValueError("WS_JWT_SECRET is set as well")
        if len(keys) > 1 and any(is_url(key) for key in keys):
            raise ValueError("a URL stands alone")
        # A secret that was no good is missing here, and is reported by itself.
        wanted = info.data.get("ws_auth") == "jwt" and "ws_jwt_secret" in info.data
        if wanted and not keys and info.data["ws_jwt_secret"] is None:
            raise ValueError("WS_AUTH is jwt, which needs it or WS_JWT_SECRET")
        return keys

    @field_validator("nats_subjects")
    @classmethod
    def _control_is_no_channel(cls, subjects: tuple[str, ...], info: ValidationInfo) -> Any:
        for subject in subjects:
            if info.data.get("ws_auth") == "jwt" and overlaps(subject, REVOKE_SUBJECT):
                # Clients could read there who is cut off.
                raise ValueError(
                    f"with WS_AUTH=jwt {subject!r} overlaps {REVOKE_SUBJECT!r}, which is no channel"
                )
        return subjects

    def limits(self) -> Limits:
        return Limits(
            connections_max=self.ws_max_connections,
            connections_per_address_max=self.ws_max_connections_per_address or None,
            handshakes_max=self.ws_max_handshakes,
            handshakes_per_s=self.ws_max_handshakes_per_s or None,
            handshake_timeout_s=self.ws_handshake_timeout_s,
            header_bytes_max=self.ws_max_header_bytes,
            message_bytes_max=self.ws_max_message_bytes,
            fragments_max=self.ws_max_fragments,
            commands_per_s=self.ws_max_commands_per_s or None,
            pings_per_s=self.ws_max_pings_per_s or None,
            subscriptions_max=self.ws_max_subscriptions,
            channels_max=self.ws_max_channels,
            events_bytes_max=self.ws_max_backlog_bytes,
            auth_timeout_s=self.ws_auth_timeout_s,
        )

    def worker_count(self) -> int:
        if self.ws_workers == "auto":
            return min(WORKERS_MAX, len(os.sched_getaffinity(0)))
        return self.ws_workers

    def blueprint(self) -> Blueprint:
        """What workers are told."""
        return Blueprint(
            limits=self.limits(),
            rules=self.ws_rules,
            flush_window_s=self.ws_flush_window_ms / 1000,
            deflate=self.ws_deflate,
            allowed_origins=self.ws_allowed_origins,
            trusted_proxies=self.ws_trusted_proxies,
            proxy_protocol=self.ws_proxy_protocol == "on",
            tls=self._tls(),
            auth=self._auth(),
            nats=NatsBlueprint(
                servers=self.nats_url,
                subjects=self.nats_subjects,
                creds_file=self.nats_creds,
                user=self.nats_user,
                password=_revealed(self.nats_password),
                token=_revealed(self.nats_token),
            ),
            log_level=self.log_level,
            log_format=self.log_format,
        )

    def _tls(self) -> TlsFiles | None:
        if self.ws_tls_cert is None or self.ws_tls_key is None:
            return None
        return TlsFiles(certificate=self.ws_tls_cert, key=self.ws_tls_key)

    def _auth(self) -> AuthBlueprint | None:
        if self.ws_auth == "none":
            return None
        return AuthBlueprint(
            secret=_revealed(self.ws_jwt_secret),
            keys=self.ws_jwt_keys,
            options=TokenOptions(
                permissions_default=(
                    EVERYTHING if self.ws_jwt_channels_default == "all" else NOTHING
                ),
                audience=self.ws_jwt_audience,
                issuer=self.ws_jwt_issuer,
                leeway_s=self.ws_jwt_leeway_s,
                channels_claim=self.ws_jwt_channels_claim,
            ),
        )

    def subjects_without_rule(self) -> list[str]:
        """What NATS is asked for in vain: no rule makes a channel of any of it."""
        return [
            subject
            for subject in self.nats_subjects
            if not any(overlaps(subject, rule.subject) for rule in self.ws_rules)
        ]
