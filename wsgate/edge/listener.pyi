"""Frames in: one ``Connection`` for each socket that was upgraded."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from picows import WSListener

from wsgate.edge.sink import SocketSink

CLOSE_PROTOCOL_ERROR: int
CLOSE_UNSUPPORTED_DATA: int
CLOSE_INVALID_TEXT: int
CLOSE_TOO_BIG: int
CLOSE_NO_STATUS: int

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

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def buffer_updated(self, nbytes: int) -> None: ...

def protocol_factory(
    listener_factory: Callable[..., Any], *, handshake_timeout_s: float, message_bytes_max: int
) -> Callable[[], asyncio.BaseProtocol]:
    """A factory of server protocols for accepted sockets."""

class Connection(WSListener):
    """One upgraded socket; `handler` is told what happens to it."""

    handle: int
    session: Any
    end_reason: str | None
    heard: bool
    pinged: bool
    close_sent: bool
    close_was_received: bool

    def __init__(
        self, handler: object, sink: SocketSink, *, message_bytes_max: int, fragments_max: int
    ) -> None: ...
    @property
    def peer(self) -> str:
        """The peer's address and port, for a log line."""

    def parser_failed(self) -> None:
        """picows' parser met an error and has written CLOSE: nothing may follow it."""

    def close_transport(self) -> None:
        """Close the socket once the transport has written what it holds."""

    def abort(self) -> None:
        """Close the socket now, whatever the transport holds."""
