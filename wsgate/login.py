"""Login: who a connection is, from its first credential to the end of its last token.

Decides and keeps time by the wall clock; what a decision means for the socket, its replies and its
subscriptions is the hub's to carry out, see ``Host``.

A credential comes with the upgrade or in an ``auth`` command. One that names a key which is not
known yet is checked once the keys have been fetched again; until then commands wait, in order.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

import structlog

from wsgate.auth.carriers import Credential, CredentialKind
from wsgate.auth.identity import (
    Identity,
    KeysUnavailable,
    Refusal,
    TokenExpired,
    TokenRefused,
    Undecided,
)
from wsgate.errands import Errands
from wsgate.protocol import Auth, CloseCode, CommandId, ErrorCode, ProtocolError
from wsgate.session import Session

if TYPE_CHECKING:
    from wsgate.auth.authenticator import Authenticator

log = structlog.get_logger("wsgate.login")

# A deadline that is farther off is looked at again then: clocks are set, and wheels turn.
LOOK_AGAIN_S: Final = 3600.0

Refused = TokenExpired | TokenRefused | KeysUnavailable


class Connection(Protocol):
    """What Login needs of a connection."""

    session: Session
    credential: Credential | None


_C = TypeVar("_C", bound=Connection)
_Any = TypeVar("_Any", bound=Connection, contravariant=True)


class Host(Protocol[_Any]):
    """What Login asks of the hub."""

    def authorized(self, connection: _Any, reply_to: CommandId | None) -> None:
        """The identity is new: reply, and end what it does not permit."""

    def refuse(self, connection: _Any, error: ProtocolError) -> None:
        """Reply; the connection lives on."""

    def lock_out(self, connection: _Any, code: CloseCode) -> None:
        """End the connection."""

    def go_on(self, connection: _Any, messages: list[bytes]) -> None:
        """Handle what waited."""

    def look_again(self, connection: _Any, delay_s: float) -> None:
        """Call ``due`` after that long."""

    def is_open(self, connection: _Any) -> bool:
        """Whether the connection is still there, and not about to end."""


class Login(Generic[_C]):
    """``first_s``: how long a connection may take to say who it is."""

    def __init__(
        self,
        authenticator: Authenticator,
        host: Host[_C],
        *,
        first_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._authenticator = authenticator
        self._host = host
        self._first_s = first_s
        self._clock = clock
        self._errands: Errands[_C] = Errands("login")

    # ------------------------------------------------------------------------------------- coming

    def enter(self, connection: _C) -> None:
        """The connection is upgraded; its credential, if it has one, is looked at now."""
        credential, connection.credential = connection.credential, None
        if credential is None:
            self._host.look_again(connection, self._first_s)
            return
        try:
            identity = self._authenticator.authenticate(credential)
        except Undecided:
            self._later(connection, credential, None)
        except (TokenExpired, TokenRefused) as error:
            self._host.lock_out(connection, close_code(error))
        else:
            self._take(connection, identity)

    def command(self, connection: _C, command: Auth) -> None:
        """An ``auth`` command: the first credential, or a newer token for the same subject."""
        credential = Credential(CredentialKind.TOKEN, command.token)
        try:
            identity = self._authenticator.authenticate(credential)
        except Undecided:
            self._later(connection, credential, command)
        except (TokenExpired, TokenRefused) as error:
            self._refuse(connection, command, error)
        else:
            self._renew(connection, command, identity)

    def _take(self, connection: _C, identity: Identity) -> None:
        connection.session.identity = identity
        if identity.expires_at_s is not None:
            self._watch(connection, identity.expires_at_s)

    def _renew(self, connection: _C, command: Auth, identity: Identity) -> None:
        held = connection.session.identity
        if held is not None and held.subject != identity.subject:
            error = ProtocolError(
                ErrorCode.AUTH_FAILED, "the token is for another subject", command.id
            )
            self._host.refuse(connection, error)
            return
        self._take(connection, identity)
        self._host.authorized(connection, command.id)

    def _refuse(self, connection: _C, command: Auth | None, error: Refused) -> None:
        if command is not None:
            message = f"{error}"
            if connection.session.identity is not None:
                message += "; the old one stays in force"
            refusal = ProtocolError(ErrorCode.AUTH_FAILED, message, command.id)
            self._host.refuse(connection, refusal)
        if connection.session.identity is None:
            self._host.lock_out(connection, close_code(error))

    # ----------------------------------------------------------------------------- unknown keys

    def _later(self, connection: _C, credential: Credential, command: Auth | None) -> None:
        connection.session.begin_waiting()
        self._errands.begin(
            connection, self._when_others_have_said(connection, credential, command)
        )

    async def _when_others_have_said(
        self, connection: _C, credential: Credential, command: Auth | None
    ) -> None:
        outcome: Identity | Refused
        try:
            outcome = await self._authenticator.authenticate_later(credential)
        except (TokenExpired, TokenRefused, KeysUnavailable) as error:
            outcome = error
        except Exception:
            # Else it would wait for ever: its time is up only while nothing is waited for.
            log.exception("a token could not be checked")
            if self._host.is_open(connection):
                self._host.lock_out(connection, CloseCode.INTERNAL_ERROR)
            return
        finally:
            # Before what waited is handled: that may be a token to wait for in its turn.
            self._errands.done(connection)
        waiting = connection.session.stop_waiting()
        if not self._host.is_open(connection):
            return
        try:
            self._settle(connection, command, outcome, waiting)
        except Exception:
            log.exception("what waited for a token could not be handled")
            self._host.lock_out(connection, CloseCode.INTERNAL_ERROR)

    def _settle(
        self,
        connection: _C,
        command: Auth | None,
        outcome: Identity | Refused,
        waiting: list[bytes],
    ) -> None:
        if not isinstance(outcome, Identity):
            self._refuse(connection, command, outcome)
        elif command is None:
            self._take(connection, outcome)
        else:
            self._renew(connection, command, outcome)
        self._host.go_on(connection, waiting)

    # ------------------------------------------------------------------------------------- going

    def _watch(self, connection: _C, expires_at_s: float) -> None:
        left_s = max(0.0, expires_at_s - self._clock())
        self._host.look_again(connection, min(left_s, LOOK_AGAIN_S))

    def due(self, connection: _C) -> None:
        """The time given to ``look_again`` is over."""
        session = connection.session
        if session.identity is None:
            if session.waiting is None:
                self._host.lock_out(connection, CloseCode.AUTH_TIMEOUT)
            return
        expires_at_s = session.identity.expires_at_s
        if expires_at_s is None:  # a renewal without an end came meanwhile
            return
        if self._clock() >= expires_at_s:
            self._host.lock_out(connection, CloseCode.TOKEN_EXPIRED)
        else:
            self._watch(connection, expires_at_s)

    def revoke(self, subject: str) -> None:
        """No token of the subject that was issued until now will be accepted any more."""
        self._authenticator.revoke(subject)

    def left(self, connection: _C) -> None:
        """The connection is gone: its place among those who wait for keys is free."""
        self._errands.left(connection)

    async def stop(self) -> None:
        """Leave no task behind."""
        await self._errands.stop()


def close_code(error: Refused) -> CloseCode:
    """With which code a connection ends that got in on this credential."""
    if isinstance(error, TokenExpired):
        return CloseCode.TOKEN_EXPIRED
    if isinstance(error, KeysUnavailable):
        return CloseCode.TRY_AGAIN_LATER
    if error.reason is Refusal.REVOKED:
        return CloseCode.TOKEN_REVOKED
    return CloseCode.BAD_TOKEN
