"""Frames in: one ``Connection`` for each socket that was upgraded."""

import logging
from typing import Any

from picows import WSFrame, WSListener, WSTransport

from wsgate.edge.allowance import Allowance
from wsgate.edge.sink import SocketSink

CLOSE_PROTOCOL_ERROR: int
CLOSE_UNSUPPORTED_DATA: int
CLOSE_INVALID_DATA: int
CLOSE_TOO_BIG: int
CLOSE_TOO_MANY_COMMANDS: int
CLOSE_NO_STATUS: int

log: logging.Logger

class Connection(WSListener):
    """One upgraded socket; `handler` is told what happens to it."""

    handle: int
    opened_ms: int
    window_bits: int
    speaks_delta: bool
    credential: Any
    session: Any
    client: str | None
    address_group: str | None
    end_reason: str | None
    heard: bool
    pinged: bool
    held_back: bool
    close_sent: bool
    sent_away: bool

    def __init__(
        self,
        handler: object,
        sink: SocketSink,
        *,
        message_bytes_max: int,
        fragments_max: int,
        allowance: Allowance,
        inflates: bool = False,
        takes_binary: bool = False,
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
    def ended(self) -> bool:
        """CLOSE was received, or the client failed: nothing that comes is looked at any more."""

    @property
    def peer(self) -> str:
        """The client's address, for a log line: the peer's with its port, or what a proxy says."""

    def parser_failed(self) -> None:
        """picows' parser met an error and would have sent CLOSE."""

    @property
    def messages(self) -> int:
        """How many messages the client has begun."""
    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes that came and bytes that the client acknowledged, as TCP counts them, TLS included.

        Known until ``lost`` has returned; a system call.
        """
    @property
    def established(self) -> bool:
        """Whether this speaks for its socket to the end."""

    def pause_reading(self) -> None:
        """Let what comes lie in the kernel; what was read already is handed on all the same."""

    def resume_reading(self) -> None:
        """Unless it is held back."""

    def close_transport(self) -> None:
        """Close the socket, after a failure our half of it, once all is written."""

    def abort(self) -> None:
        """Close the socket now, whatever the transport holds."""
