"""Frames in: one ``Connection`` for each socket that was upgraded."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from picows import (
    WSFrame,
    WSListener,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponseWithListener,
)

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
    listener_factory: Callable[[WSUpgradeRequest], Connection | WSUpgradeResponseWithListener],
    *,
    handshake_timeout_s: float,
    message_bytes_max: int,
) -> Callable[[], Protocol]:
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
    def on_ws_connected(self, transport: WSTransport) -> None:
        """Called by picows once the 101 is written."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Called by picows for each frame."""

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Called by picows when the socket is closed."""

    def pause_writing(self) -> None:
        """Called by picows when the transport holds something."""

    def resume_writing(self) -> None:
        """Called by picows when the transport is empty again."""

    @property
    def peer(self) -> str:
        """The peer's address and port, for a log line."""

    def parser_failed(self) -> None:
        """picows' parser met an error and would have sent CLOSE."""

    def close_transport(self) -> None:
        """Close the socket once the transport has written what it holds."""

    def abort(self) -> None:
        """Close the socket now, whatever the transport holds."""
