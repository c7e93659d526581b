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
    Pause,
    Ping,
    ProtocolError,
    Resume,
    Subscribe,
    Unsubscribe,
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
        self.waiting: list[bytes] | None = None  # messages, while keys are fetched for its token

    @property
    def permissions(self) -> Permissions:
        """What it may subscribe to, as far as the token is asked."""
        return EVERYTHING if self.identity is None else self.identity.permissions

    def handle(self, message: bytes) -> Subscribe | Unsubscribe | Ping | Auth:
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
        if isinstance(command, (Pause, Resume)):
            raise _not_supported(type(command).__name__.lower(), command)
        if isinstance(command, Auth):
            if not self._authenticated:
                reason = "this gateway asks nobody for a token (WS_AUTH=none)"
                raise ProtocolError(ErrorCode.NOT_SUPPORTED, reason, command.id)
        elif self._authenticated and self.identity is None and not isinstance(command, Ping):
            raise ProtocolError(ErrorCode.AUTH_REQUIRED, reply_to=command.id)
        if isinstance(command, Subscribe) and command.recover:  # no positions ask for nothing
            raise _not_supported("recover", command)
        return command


def _not_supported(what: str, command: Command) -> ProtocolError:
    return ProtocolError(ErrorCode.NOT_SUPPORTED, f"{what} is not supported yet", command.id)
