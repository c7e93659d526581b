"""What a worker is told when it starts: plain data, checked already, which can be pickled.

Settings are read and checked by the supervisor; workers never import what that takes, 10 MB each.
``wsgate aggregate`` is told in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wsgate.auth.options import TokenOptions
from wsgate.limits import Limits
from wsgate.log import LogFormat, LogLevel
from wsgate.renaming import Renaming
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
    aggregated: bool
    """What comes was republished by ``wsgate aggregate``, which tells where some is missing."""

    @property
    def credentials(self) -> dict[str, Any]:
        """As whoever connects takes them by name."""
        return {
            "creds_file": self.creds_file,
            "user": self.user,
            "password": self.password,
            "token": self.token,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PollBlueprint:
    """A backend to ask; for the supervisor, which asks for all workers.

    ``items``, ``id``, ``version`` and ``cursor`` are paths in its answers, ``channel`` a template.
    """

    url: str = field(repr=False)  # its query may hold a key
    token: str | None = field(repr=False)
    interval_s: float
    timeout_s: float
    bytes_max: int
    ids_max: int
    items: str
    id: str
    version: str
    cursor: str
    channel: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """Everything but the sockets."""

    limits: Limits
    rules: Rules
    flush_window_s: float | None
    """None: it adapts."""
    deflate: bool
    delta: bool
    allowed_origins: tuple[str, ...]
    trusted_proxies: tuple[str, ...]
    proxy_protocol: bool
    tls: TlsFiles | None
    auth: AuthBlueprint | None
    nats: NatsBlueprint | None
    remote_sources: tuple[str, ...]
    """Names of those that the supervisor has, and tells of."""
    log_level: LogLevel
    log_format: LogFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregationBlueprint:
    """What ``wsgate aggregate`` reads, and what it makes of it."""

    renaming: Renaming
    rules: Rules
    channels: tuple[str, ...]
    """What gateways subscribe to; ``nats`` has the same as raw subjects."""
    window_s: float
    channels_max: int
    backlog_bytes_max: int
    nats: NatsBlueprint
