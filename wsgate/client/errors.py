"""What can go wrong for a user of the client.

ClientError
├── Refused                 the gateway refused a command, or a channel; the client lives on
│   ├── NotSupported        ... since it does not know this part of the protocol
│   └── SubscribeRefused    ... of a subscription, with the reason for each channel
└── Closed                  the client is at its end: nothing comes any more
    ├── Left                the program left its block
    ├── HandshakeRefused    an HTTP answer that no second attempt would better
    └── ClosedByGateway     a close code that says not to come back
        └── TokenRefused    ... since the token is bad, revoked, or expired without a successor
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from wsgate.protocol import CloseCode, ErrorCode


class ClientError(Exception):
    """Whatever the client raises of its own."""


class Refused(ClientError):
    """``code`` is for programs: one of ``wsgate.protocol.ErrorCode``, or one that came later."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class NotSupported(Refused):
    """The gateway does not know this part of the protocol."""


class SubscribeRefused(Refused):
    """``errors`` has each channel that was refused, and why; ``code`` is that of the first."""

    def __init__(self, errors: Mapping[str, Refused]) -> None:
        first = next(iter(errors.values()))
        super().__init__(first.code, first.message)
        self.errors = dict(errors)

    def __str__(self) -> str:
        return "; ".join(f"{channel}: {error}" for channel, error in self.errors.items())


class Closed(ClientError):
    """The client is at its end."""


class Left(Closed):
    """The block of the client was left."""

    def __init__(self) -> None:
        super().__init__("the client was closed")


class HandshakeRefused(Closed):
    """The gateway, or a proxy before it, answered the upgrade with this HTTP status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the upgrade was answered with HTTP {status}")
        self.status = status


class ClosedByGateway(Closed):
    """The connection was closed with a code that says not to come back."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"closed with {code} {reason}".rstrip())
        self.code = code
        self.reason = reason


class TokenRefused(ClosedByGateway):
    """No connection is to be had with this token."""


_TOKEN_CODES: Final = frozenset(
    {
        CloseCode.TOKEN_EXPIRED,
        CloseCode.AUTH_TIMEOUT,
        CloseCode.BAD_TOKEN,
        CloseCode.TOKEN_REVOKED,
    }
)


def refused(code: str, message: str) -> Refused:
    return (NotSupported if code == ErrorCode.NOT_SUPPORTED else Refused)(code, message)


def closed_by_gateway(code: int, reason: str) -> ClosedByGateway:
    return (TokenRefused if code in _TOKEN_CODES else ClosedByGateway)(code, reason)
