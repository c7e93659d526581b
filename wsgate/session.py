"""Session: what the protocol has to remember of one connection, and what it lets the client do.

Pure: no IO, no clock. There are tens of thousands of sessions, so one
remembers one number. Who is subscribed to what, and which max_rate clocks run, is the core's to
know: it is passed in, or the hub asks.
"""

from __future__ import annotations

from typing import Final

from wsgate.auth.identity import Identity
from wsgate.auth.permissions import EVERYTHING, Permissions
from wsgate.protocol import (
    BAD_COMMANDS_IN_A_ROW_MAX,
    Auth,
    CloseCode,
    Command,
    ErrorCode,
    Ping,
    ProtocolError,
    decode,
)

# What a client that speaks the protocol never sends. The other errors can be met by a good one
# again and again, so they do not count towards the end of the connection.
_MALFORMED: Final = frozenset(
    (ErrorCode.BAD_JSON, ErrorCode.BAD_COMMAND, ErrorCode.UNKNOWN_COMMAND)
)


class Session:
    """``identity``: who the client is; None while nobody knows, and without authentication."""

    __slots__ = ("_authenticated", "_malformed_in_a_row", "identity", "waiting")

    def __init__(self, *, authenticated: bool = False) -> None:
        self._malformed_in_a_row = 0
        self._authenticated = authenticated  # it asks, so without an identity nothing is done
        self.identity: Identity | None = None
        # Messages, while something has to be fetched: keys for its token, or what it missed.
        self.waiting: list[bytes] | None = None

    @property
    def permissions(self) -> Permissions:
        """What it may subscribe to, as far as the token is asked."""
        return EVERYTHING if self.identity is None else self.identity.permissions

    def begin_waiting(self) -> None:
        """From now on messages are kept, in order."""
        self.waiting = []

    def stop_waiting(self) -> list[bytes]:
        """What is waited for is there; what came meanwhile."""
        messages, self.waiting = self.waiting or [], None
        return messages

    def wait(self, message: bytes) -> None:
        """Keep a message for later, while something is waited for."""
        assert self.waiting is not None, "nothing is waited for"
        self.waiting.append(message)

    def handle(self, message: bytes) -> Command:
        """The command in the message, ready to be executed.

        Raises ProtocolError; if its ``close`` is set, the connection is to be closed after the
        error has been replied.
        """
        try:
            command = decode(message)
        except ProtocolError as error:
            if error.code in _MALFORMED:
                self._malformed_in_a_row += 1
                if self._malformed_in_a_row >= BAD_COMMANDS_IN_A_ROW_MAX:
                    error.close = CloseCode.TOO_MANY_BAD_COMMANDS
            raise
        self._malformed_in_a_row = 0
        if isinstance(command, Auth):
            if not self._authenticated:
                reason = "this gateway asks nobody for a token (WS_AUTH=none)"
                raise ProtocolError(ErrorCode.NOT_SUPPORTED, reason, command.id)
        elif self._authenticated and self.identity is None and not isinstance(command, Ping):
            raise ProtocolError(ErrorCode.AUTH_REQUIRED, reply_to=command.id)
        return command
