"""What a worker is told when it starts: plain data, checked already, which can be pickled.

Settings are read and checked by the supervisor; workers never import what that takes, 10 MB each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from wsgate.auth.verifier import TokenOptions
from wsgate.limits import Limits
from wsgate.log import LogFormat, LogLevel
from wsgate.rules import Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthBlueprint:
    """Where keys come from, and what is asked of tokens."""

    secret: str | None = field(repr=False)
    keys: tuple[str, ...] = field(repr=False)  # a URL may hold a login
    options: TokenOptions

    @property
    def setting(self) -> str:
        """Which one the keys come from."""
        return "WS_JWT_KEYS" if self.keys else "WS_JWT_SECRET"


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsBlueprint:
    servers: tuple[str, ...] = field(repr=False)
    subjects: tuple[str, ...]
    streams: tuple[str, ...] | None
    """Of JetStream, in their order; None: whichever keep the subjects; (): none."""
    creds_file: Path | None
    user: str | None
    password: str | None = field(repr=False)
    token: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """Everything but the sockets."""

    limits: Limits
    rules: Rules
    flush_window_s: float
    deflate: bool
    allowed_origins: tuple[str, ...]
    trusted_proxies: tuple[str, ...]
    proxy_protocol: bool
    tls: TlsFiles | None
    auth: AuthBlueprint | None
    nats: NatsBlueprint | None
    """None: publications come through the supervisor."""
    log_level: LogLevel
    log_format: LogFormat
