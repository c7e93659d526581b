"""Admission: which sockets may try to upgrade, how many at once, how fast, and for how long."""

import asyncio
from typing import Any

SILENT_S: float
SLOW_S: float
REASONS: tuple[str, ...]

class Handshakes:
    """The handshakes under way: `at_once_max`, `per_s` new ones a second, `timeout_s` for each."""

    ask: Any
    asking: Any
    tls_failed: int

    def __init__(
        self,
        timeout_s: float,
        *,
        at_once_max: int,
        header_bytes_max: int,
        per_s: float | None = None,
    ) -> None: ...
    def __len__(self) -> int: ...
    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """What it runs on."""

    @property
    def timeout_s(self) -> float:
        """How long a handshake may take."""

    @property
    def at_once_max(self) -> int:
        """How many may be under way."""

    @property
    def header_bytes_max(self) -> int:
        """How long the head of a request may be, with the line that ends it."""

    @property
    def expired(self) -> int:
        """How many took longer."""

    @property
    def shed(self) -> int:
        """How many were cut off before, to make room for newer ones."""

    @property
    def refused(self) -> dict[str, int]:
        """How many were not let try, or broke a limit, by reason."""

    def begin(self, protocol: asyncio.BaseProtocol, transport: asyncio.BaseTransport) -> None:
        """`transport` is what to cut `protocol` off with."""

    def heard(self, protocol: asyncio.BaseProtocol) -> None:
        """The client itself has sent something."""

    def end(self, protocol: asyncio.BaseProtocol) -> bool:
        """True if it was under way."""

    def refuse(self, reason: str) -> None:
        """Count a refusal."""

    def expire(self) -> None:
        """Cut off who is late, and wait for the next to be so."""

    def stop(self) -> None:
        """Cut off everybody."""
