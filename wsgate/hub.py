"""The hub: connections and their commands in, changes to the core out.

Brings together the sessions of all connections, the rules, and the core; what sources tell it is in
``intake``. Owns no socket: the edge tells it what happens to a connection. Everything runs in the
thread of one event loop, and nothing in it awaits: it calls back through ``call_soon`` and one
heartbeat.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING, Protocol

import structlog

from wsgate import protocol
from wsgate.addresses import AddressCounts
from wsgate.auth.carriers import Credential
from wsgate.capacity import Capacity
from wsgate.core.frame import Frame
from wsgate.core.outboxes import BROKEN, SLOW
from wsgate.core.roster import ALIVE_TIMER, CLOSE_TIMER, LOGIN_TIMER
from wsgate.core.sink import Sink
from wsgate.departures import Departures
from wsgate.ebb import Ebb
from wsgate.flush import now_ms
from wsgate.heap import give_back
from wsgate.histogram import Histogram
from wsgate.intake import Intake
from wsgate.limits import Limits
from wsgate.login import Login
from wsgate.protocol import (
    Auth,
    CloseCode,
    CommandId,
    Pause,
    ProtocolError,
    Resume,
    Subscribe,
    Unsubscribe,
)
from wsgate.replays import Replay
from wsgate.rules import Rules
from wsgate.session import Session
from wsgate.subscriptions import Subscriptions
from wsgate.turns import Rest, Turns
from wsgate.waiting import Waiting

if TYPE_CHECKING:
    from wsgate.auth.authenticator import Authenticator

log = structlog.get_logger("wsgate.hub")

HEARTBEAT_S = 0.1  # pings and time limits need no more
QUICK_HEARTBEAT_S = 0.02  # while somebody's max_rate, or a rate of all, has to be kept
DURATIONS_S = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)  # of connections, in histograms
NO_STATUS = 1005  # what the edge reports for a CLOSE without a code; never sent (RFC 6455 7.4.1)
PING = Frame.ping()


class Connection(Protocol):
    """What the hub needs of a connection; ``wsgate.edge.listener.Connection`` is one."""

    handle: int
    opened_ms: int
    window_bits: int
    speaks_delta: bool
    messages: int
    credential: Credential | None
    session: Session
    end_reason: str | None
    address_group: str | None
    heard: bool
    pinged: bool
    held_back: bool
    close_sent: bool
    sent_away: bool

    @property
    def ended(self) -> bool: ...
    @property
    def peer(self) -> str: ...
    @property
    def established(self) -> bool: ...
    @property
    def traffic(self) -> tuple[int, int]: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def close_transport(self) -> None: ...
    def abort(self) -> None: ...


class Hub(Intake):
    """One worker's hub. ``sink`` is where the core's bytes go."""

    def __init__(
        self,
        sink: Sink,
        rules: Rules,
        limits: Limits,
        *,
        flush_window_s: float | None = 0.0,
        authenticator: Authenticator | None = None,
        capacity: Capacity | None = None,
        replay: Replay | None = None,
        addresses: AddressCounts | None = None,
    ) -> None:
        super().__init__(sink, rules, limits, flush_window_s=flush_window_s)
        self._connections: dict[int, Connection] = {}
        self.capacity = capacity or Capacity(limits.connections_max)
        self._ping_interval_ms = int(limits.ping_interval_s * 1000)
        self.login: Login[Connection] | None = None
        if authenticator is not None:
            self.login = Login(authenticator, self, first_s=limits.auth_timeout_s)
        self._verbose = log.is_enabled_for(logging.DEBUG)  # else no argument of a line is made
        self._beat_in(HEARTBEAT_S)
        self.addresses = addresses
        self._waiting: Waiting[Connection] = Waiting()
        self.turns: Turns[Connection] = Turns(self._loop, self._let_in, self._carry_out, self.broke)
        self.subscriptions: Subscriptions[Connection] = Subscriptions(
            self, self.core, rules, limits, self._epochs, replay or _no_replay
        )
        self.departures: Departures[Connection] = Departures(
            self, self._connections.values(), limits
        )
        self._ebb = Ebb(give_back)
        self.opened_total = 0
        self.closed_by_reason: Counter[str] = Counter()
        self.durations = Histogram(DURATIONS_S)

    def __len__(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    # ---------------------------------------------------------------- connections, from the edge

    def opened(self, connection: Connection) -> None:
        connection.handle = self.core.open(connection.window_bits, connection.speaks_delta)
        connection.session = Session(authenticated=self.login is not None)
        self._connections[connection.handle] = connection
        self.opened_total += 1
        self._ebb.came(len(self._connections))
        self.capacity.enter()
        if self.addresses is not None and connection.address_group is not None:
            self.addresses.enter(connection.address_group)
        # Spread by slot, so that a crowd that came together is not pinged together for ever.
        spread_ms = (connection.handle & 0xFFFFFFFF) * 7919 % self._ping_interval_ms
        connection.opened_ms = now_ms()
        first_ms = connection.opened_ms + self._ping_interval_ms + spread_ms
        self.core.schedule(connection.handle, ALIVE_TIMER, first_ms)
        if self.departures.draining:  # its handshake was under way when the gateway began to stop
            self.see_off(connection, None)
            return
        self.departures.came(connection)
        if self._feeds_stale:
            self.respond(connection, protocol.encode_feed("stale"))
        if self.login is not None:
            self.turns.enter(connection)
        if self._verbose:
            log.debug("connected", connection=connection.handle, peer=connection.peer)

    def received(self, connection: Connection, message: bytes) -> None:
        self.turns.take(connection, message)

    def _let_in(self, connection: Connection) -> None:
        if self.login is not None and connection.end_reason is None:
            self.login.enter(connection)

    def _carry_out(self, connection: Connection, message: bytes) -> Rest | None:
        """Returns what is left of it to do, if that is much."""
        if connection.end_reason is not None:  # CLOSE is its last reply
            return None
        session = connection.session
        if session.waiting is not None:
            if not self._waiting.keep(connection, message):
                self.lock_out(connection, CloseCode.TRY_AGAIN_LATER)
            return None
        try:
            command = session.handle(message)
            if isinstance(command, Subscribe):
                if command.max_rate:
                    self._quicken()
                return self.subscriptions.command(connection, command)
            if isinstance(command, Unsubscribe):
                self._unsubscribe(connection, command)
            elif isinstance(command, Auth):
                assert self.login is not None, "a session without login takes no auth"
                self.login.command(connection, command)
            elif isinstance(command, Pause):
                self.core.delivery.pause(connection.handle)
                self.respond(connection, protocol.encode_paused(command.id))
            elif isinstance(command, Resume):
                self.core.delivery.unpause(connection.handle)
                self.respond(connection, protocol.encode_resumed(command.id))
                self._flushing.publications_wait()
            else:
                self.respond(connection, protocol.encode_pong(command.id))
        except ProtocolError as error:
            self.respond(connection, protocol.encode_error(error))
            if error.close is not None:
                self._end(connection, error.close, flush_owed=True)
        return None

    def broke(self, connection: Connection) -> None:
        """What it asked for, a while ago, could not be done, and that is our fault."""
        if self.is_open(connection):
            self.lock_out(connection, CloseCode.INTERNAL_ERROR)

    def pinged(self, connection: Connection, payload: bytes) -> None:
        self.core.delivery.reply(connection.handle, Frame.pong(payload))
        self._flushing.replies_wait()

    def paused(self, connection: Connection) -> None:
        self.core.delivery.block(connection.handle)

    def resumed(self, connection: Connection) -> None:
        self.core.delivery.resume(connection.handle)
        if self.core.delivery.urgent_count:
            self._flushing.replies_wait()
        if self.core.owes_publications:
            self._flushing.publications_wait()

    def close_received(self, connection: Connection, code: int) -> None:
        """The client begins the closing handshake, or answers ours."""
        self.turns.settle(connection)
        self._note_end(connection, "client")
        if connection.close_sent:
            connection.close_transport()
            return
        answer = Frame.close(None if code == NO_STATUS else code)
        # Who obeys when he is sent away shall have no less than who waits to be closed.
        self.core.delivery.end(connection.handle, answer, connection.sent_away)
        self._await_close(connection)

    def failed(self, connection: Connection, code: int, reason: str) -> None:
        """The client broke the WebSocket protocol, or a limit; `reason` is for the log."""
        self.turns.settle(connection)
        self._note_end(connection, f"failed_{code}" if code < 4000 else CloseCode(code).reason)  # type: ignore[call-arg]
        if self._verbose:
            log.debug("client failed", connection=connection.handle, code=code, reason=reason)
        if connection.close_sent:
            connection.close_transport()
            return
        close = Frame.close(code, CloseCode(code).reason)  # type: ignore[call-arg]
        self.core.delivery.end(connection.handle, close, True)  # its good commands were replied to
        self._await_close(connection)

    def lost(self, connection: Connection) -> None:
        """The socket is closed."""
        self.turns.leave(connection)
        self._note_end(connection, "lost")
        self.closed_by_reason[connection.end_reason or "lost"] += 1
        self.durations.observe((now_ms() - connection.opened_ms) / 1000)
        if self.login is not None:
            self.login.left(connection)
        self.subscriptions.left(connection)
        self.core.release(connection.handle)
        del self._connections[connection.handle]
        self.capacity.leave()
        if self.addresses is not None and connection.address_group is not None:
            self.addresses.leave(connection.address_group)
        if self._verbose:
            self._log_end(connection)
        self._ebb.left(len(self._connections))
        self.departures.left()

    def _log_end(self, connection: Connection) -> None:
        received_bytes, acknowledged_bytes = connection.traffic
        log.debug(
            "disconnected",
            connection=connection.handle,
            reason=connection.end_reason,
            age_s=(now_ms() - connection.opened_ms) / 1000,
            messages_received=connection.messages,
            received_bytes=received_bytes,
            acknowledged_bytes=acknowledged_bytes,
        )

    # ----------------------------------------------------------------------------------- commands

    def _filled(self) -> None:
        self.subscriptions.filled()

    def accepts(self, subject: str, payload: bytes) -> bool:
        """Whether it may be published there: what is replayed passes what is published passes."""
        return self._channel_for(subject, payload) is not None and self._is_json(subject, payload)

    def _unsubscribe(self, connection: Connection, command: Unsubscribe) -> None:
        for name in command.channels:
            self.core.unsubscribe(connection.handle, name)
        self.respond(connection, protocol.encode_unsubscribed(command.channels, command.id))

    def respond(self, connection: Connection, message: bytes) -> None:
        self.core.delivery.reply(connection.handle, Frame.text(message))
        self._flushing.replies_wait()

    # ------------------------------------------------------------------ what is decided at login

    def authorized(self, connection: Connection, reply_to: CommandId | None) -> None:
        """The client has a new identity: what that does not permit ends."""
        identity = connection.session.identity
        assert identity is not None, "authorized as nobody"
        self.respond(connection, protocol.encode_authorized(identity.expires_at_s, reply_to))
        ended = [
            name
            for name in self.core.subscriptions_of(connection.handle)
            if not identity.permissions.permits(name)
        ]
        for name in ended:
            self.core.unsubscribe(connection.handle, name)
        if ended:
            self.respond(connection, protocol.encode_unsubscribed(ended))

    def refuse(self, connection: Connection, error: ProtocolError) -> None:
        self.respond(connection, protocol.encode_error(error))

    def lock_out(self, connection: Connection, code: CloseCode) -> None:
        self._end(connection, code, flush_owed=True)

    def go_on(self, connection: Connection, messages: list[bytes]) -> None:
        self._waiting.over(connection)
        self.turns.take_first(connection, messages)

    def look_again(self, connection: Connection, delay_s: float) -> None:
        self.core.schedule(connection.handle, LOGIN_TIMER, now_ms() + int(delay_s * 1000))

    def is_open(self, connection: Connection) -> bool:
        return connection.handle in self._connections and connection.end_reason is None

    def revoke(self, subjects: Collection[str]) -> int:
        """Cut off every connection of these, whose tokens are no good now; how many."""
        if self.login is None:
            return 0
        for subject in subjects:
            self.login.revoke(subject)
        held = [
            connection
            for connection in self._connections.values()
            if connection.end_reason is None
            and connection.session.identity is not None
            and connection.session.identity.subject in subjects
        ]
        for connection in held:
            self._end(connection, CloseCode.TOKEN_REVOKED, flush_owed=False)
        return len(held)

    # --------------------------------------------------------------- what is decided at departures

    def tell_to_reconnect(self, connection: Connection, after_ms: int) -> None:
        self.respond(connection, protocol.encode_reconnect(after_ms))

    def see_off(self, connection: Connection, reason: str | None) -> None:
        if reason is not None:
            self._note_end(connection, reason)
        self._end(connection, CloseCode.SERVICE_RESTART, flush_owed=True)

    def leave_in(self, connection: Connection, delay_s: float) -> None:
        # The close's own timer: that close is what it is for.
        self.core.schedule(connection.handle, CLOSE_TIMER, now_ms() + int(delay_s * 1000))

    # ------------------------------------------------------------------------------------ endings

    def _end(self, connection: Connection, code: CloseCode, *, flush_owed: bool) -> None:
        """Close with a code of ours; the client has a while to answer."""
        self._note_end(connection, code.reason)
        if flush_owed:
            self.core.settle_all()
        self.core.delivery.end(connection.handle, Frame.close(code, code.reason), flush_owed)
        self._await_close(connection)

    def _note_end(self, connection: Connection, reason: str) -> None:
        """The first reason is why a connection ended; what follows is consequence."""
        if connection.end_reason is None:
            connection.end_reason = reason
            self._waiting.drop(connection)

    def _await_close(self, connection: Connection) -> None:
        due_ms = now_ms() + int(self._limits.close_timeout_s * 1000)
        self.core.schedule(connection.handle, CLOSE_TIMER, due_ms)
        self._flushing.replies_wait()

    def _after_flush(self) -> None:
        """End the connections that the core gave up, or that have had their CLOSE."""
        for handle, reason in self.core.delivery.take_doomed():
            connection = self._connections.get(handle)
            if connection is None:
                continue
            if reason == SLOW:
                self.core.delivery.pardon(handle)
                self._end(connection, CloseCode.SLOW_CONSUMER, flush_owed=False)
            elif reason == BROKEN:
                self._note_end(connection, "broken")
                connection.abort()
            else:  # CLOSE is out; the client's answer, or CLOSE_TIMER, comes next
                connection.close_sent = True
                if connection.ended:
                    connection.close_transport()

    # --------------------------------------------------------------------------------------- time

    def _beat(self) -> None:
        quick = self.regulator is not None or self.core.paced_connections
        self._beat_in(QUICK_HEARTBEAT_S if quick else HEARTBEAT_S)
        for handle, timer in self.core.tick(now_ms()):
            connection = self._connections[handle]
            if timer == CLOSE_TIMER and connection.end_reason is None:
                self.departures.due(connection)
            elif timer == CLOSE_TIMER:
                connection.abort()
            elif timer == LOGIN_TIMER:
                if self.login is not None and connection.end_reason is None:
                    self.login.due(connection)
            else:
                self._see_whether_alive(connection)
        self.adapt_window()
        if self.regulator is not None:
            self.regulator.release()
        if self.core.owes_publications:
            self._flushing.publications_wait()

    def _beat_in(self, delay_s: float) -> None:
        self._beat_due_s = self._loop.time() + delay_s
        self._heart = self._loop.call_at(self._beat_due_s, self._beat)

    def _quicken(self) -> None:
        """There is a clock, perhaps the first."""
        if self._beat_due_s > self._loop.time() + QUICK_HEARTBEAT_S:
            self._heart.cancel()
            self._beat_in(QUICK_HEARTBEAT_S)

    def _see_whether_alive(self, connection: Connection) -> None:
        """Once an interval: ping who was silent, and cut off who did not answer the last ping.

        A blocked connection is spared: it may be slow, and TCP finds out by itself if it is dead.
        So is one that is held back: it cannot be heard.
        """
        delivery, handle = self.core.delivery, connection.handle
        due_ms = now_ms() + self._ping_interval_ms
        spared = connection.held_back or delivery.is_blocked(handle)
        if not connection.heard and connection.pinged and not spared:
            self._note_end(connection, "ping_timeout")
            connection.abort()
            return
        connection.pinged = not connection.heard
        if not connection.heard:
            delivery.reply(handle, PING)
            self._flushing.replies_wait()
        connection.heard = False
        self.core.schedule(handle, ALIVE_TIMER, due_ms)

    async def stop(self) -> None:
        """End the heartbeat, the flushes, and whatever waits."""
        self.turns.stop()
        if self.login is not None:
            await self.login.stop()
        await self.subscriptions.stop()
        self._ebb.stop()
        self._heart.cancel()
        self._flushing.stop()


async def _no_replay(channel: str, after: int, epoch: str) -> None:
    """There is nobody to ask."""
