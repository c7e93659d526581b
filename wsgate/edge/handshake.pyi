"""The handshake: from an accepted socket to a ``Connection``."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from picows import WSUpgradeRequest, WSUpgradeResponseWithListener

from wsgate.edge.admission import Handshakes
from wsgate.edge.listener import Connection
from wsgate.edge.proxied import Turns
from wsgate.edge.tls import TlsContext
from wsgate.networks import TrustedNetworks

READ_BUFFER_BYTES: int
BAD_REQUEST: bytes
END_OF_HEAD: bytes
METHODS: tuple[bytes, ...]
VERSIONS: tuple[bytes, ...]
ENCRYPTED_IN_BYTES: int
ENCRYPTED_OUT_BYTES: int
HELD_BYTES_MAX: int

log: logging.Logger

class QuietLog:
    """What picows takes for a logger."""

    def isEnabledFor(self, level: int) -> bool: ...  # noqa: N802
    def log(self, level: int, message: str, *args: object) -> None: ...
    def debug(self, message: str, *args: object) -> None: ...
    def info(self, message: str, *args: object) -> None: ...
    def warning(self, message: str, *args: object) -> None: ...
    def error(self, message: str, *args: object) -> None: ...
    def exception(self, message: str, *args: object) -> None: ...

class Protocol(asyncio.BufferedProtocol):
    """picows' protocol, told to hide nothing and to hold nothing back."""

    handshakes: Handshakes | None
    beneath: asyncio.Transport | None
    client: tuple[str, int] | None
    head_bytes: int
    turns: Turns | None

    def peername(self) -> tuple[Any, ...] | None:
        """(address, port, ...) of the client, or of the last proxy before it; None: who knows."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def buffer_updated(self, nbytes: int) -> None: ...
    def look(self, nbytes: int) -> None: ...
    def drained(self) -> None: ...
    @property
    def established(self) -> bool: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def abort(self) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...

class EncryptedTransport(asyncio.Transport):
    """aiofastnet's TLS transport, which closes as a plain one does."""

    beneath: asyncio.Transport | None
    paused: bool

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def close(self) -> None: ...

class Encrypted(asyncio.BufferedProtocol):
    """What uvloop's transport talks to: TLS."""

    handshakes: Handshakes
    protocol: Protocol
    silent: bool
    transport: EncryptedTransport
    turns: Turns

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def buffer_updated(self, nbytes: int) -> None: ...
    def look(self, nbytes: int) -> None: ...
    @property
    def established(self) -> bool: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def abort(self) -> None: ...
    def eof_received(self) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...

def protocol_factory(
    listener_factory: Callable[
        [WSUpgradeRequest, Protocol], Connection | WSUpgradeResponseWithListener
    ],
    handshakes: Handshakes,
    turns: Turns,
    *,
    message_bytes_max: int,
    tls: TlsContext | None = None,
    proxies: TrustedNetworks | None = None,
) -> Callable[[], asyncio.BaseProtocol]:
    """A factory of server protocols for accepted sockets, with TLS if there is a context for it."""
