"""The handshake: from an accepted socket to a ``Connection``, in bounded time."""

import asyncio
import logging
from collections.abc import Callable

from picows import WSUpgradeRequest, WSUpgradeResponseWithListener

from wsgate.edge.listener import Connection
from wsgate.edge.tls import TlsContext

READ_BUFFER_BYTES: int
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

class Handshakes:
    """The handshakes under way. A client that needs longer than `timeout_s` is cut off."""

    def __init__(self, timeout_s: float) -> None: ...
    def __len__(self) -> int: ...
    @property
    def timeout_s(self) -> float:
        """How long a handshake may take."""

    @property
    def expired(self) -> int:
        """How many took longer."""

    @property
    def tls_failed(self) -> int:
        """How many ended before TLS was agreed on."""

    def expire(self) -> None:
        """Cut off who is late, and wait for the next to be so."""

    def stop(self) -> None:
        """Cut off everybody."""

class Protocol(asyncio.BufferedProtocol):
    """picows' protocol, told to hide nothing and to hold nothing back."""

    handshakes: Handshakes | None

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def buffer_updated(self, nbytes: int) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...

class EncryptedTransport(asyncio.Transport):
    """aiofastnet's TLS transport, which closes as a plain one does."""

    beneath: asyncio.Transport | None

    def close(self) -> None: ...

class Encrypted(asyncio.BufferedProtocol):
    """What uvloop's transport talks to: TLS."""

    handshakes: Handshakes
    protocol: Protocol
    transport: EncryptedTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def buffer_updated(self, nbytes: int) -> None: ...
    def eof_received(self) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...

def protocol_factory(
    listener_factory: Callable[[WSUpgradeRequest], Connection | WSUpgradeResponseWithListener],
    handshakes: Handshakes,
    *,
    message_bytes_max: int,
    tls: TlsContext | None = None,
) -> Callable[[], Protocol | Encrypted]:
    """A factory of server protocols for accepted sockets, with TLS if there is a context for it."""
