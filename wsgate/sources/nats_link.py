"""One connection to one NATS server, from its first byte to its loss; never used again after.

nats-py reconnects by itself, but it can also end up in states which it never leaves and which look
connected from outside. So its own reconnecting is off: a :class:`NatsLink` wraps one nats-py client
for one connection, watches it, and says once and for good that it is lost. The list of what can
happen to one is in ``docs/design/sources.md``.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from nats.errors import ProtocolError

from wsgate.lean import load_websockets
from wsgate.sources.nats_client import HardenedClient, Receiver
from wsgate.sources.nats_limits import NatsLimits
from wsgate.sources.nats_login import Address, Login
from wsgate.sources.nats_requests import Requests

_PERMISSIONS = "permissions violation"
# nats-py wants a number for what is always cut short from here.
_NO_TIMEOUT_S = 10**9
_CANCEL_AGAIN_S = 0.05


class LinkOwner(Protocol):
    """Whom a link reports to while it lives. None of these may raise."""

    def receive(self, subject: bytes, reply: bytes, payload: bytes, header: bytes | None) -> None:
        """A message. The one hot call."""

    def receive_control(
        self, subject: bytes, reply: bytes, payload: bytes, header: bytes | None
    ) -> None:
        """A message on one of the control subjects."""

    def all_received(self) -> None:
        """Everything that had come was given to ``receive``."""

    def denied(self, subject: str) -> None:
        """The server refuses this subscription; the others go on."""

    def granted(self, subject: str) -> None:
        """A subscription that was denied is there now."""

    def complained(self, error: Exception) -> None:
        """The server objects to something but keeps the connection."""


class LinkSilent(Exception):
    """The server does not answer a PING."""


class LinkDeaf(Exception):
    """nats-py stopped reading without saying so."""


class LinkTimeout(TimeoutError):
    """Connecting and subscribing took too long."""


class NatsLink:
    """``open`` it, ``watch`` it, ``close`` it.

    Or ``connect``, and ``subscribe`` once it is known to what. Between ``connect`` and ``close``
    it takes questions and further subscriptions, as JetStream needs them.
    """

    def __init__(
        self,
        address: Address,
        login: Login,
        subjects: Sequence[str],
        owner: LinkOwner,
        limits: NatsLimits,
        *,
        control_subjects: Sequence[str] = (),
        echo: bool = True,
        gather_s: float = 0.0,
    ) -> None:
        self._address = address
        self._login = login
        self._subjects = tuple(subjects)
        self._receivers: dict[str, Receiver] = dict.fromkeys(
            control_subjects, owner.receive_control
        )
        self._owner = owner
        self._limits = limits
        self._echo = echo
        self._loop = asyncio.get_running_loop()
        self._client = HardenedClient(
            on_reader_end=self._on_reader_end,
            on_all_read=owner.all_received,
            gather_s=gather_s,
        )
        self._requests = Requests(self._client)
        self._client_closed = asyncio.Event()
        self._subscriptions: dict[str, int] = {}
        self._denied: set[str] = set()
        self._denied_at = 0.0
        self._lost: asyncio.Future[Exception] = self._loop.create_future()
        self.other_messages = 0
        """Messages that are no publications, counted by who receives them."""
        self._closing: asyncio.Task[None] | None = None

    @property
    def received(self) -> int:
        """Publications that came in: nats-py counts anyhow, so we need not, but for the rest."""
        return self._messages - self._requests.answered - self.other_messages

    @property
    def _messages(self) -> int:
        return int(self._client.stats["in_msgs"])

    @property
    def pending(self) -> int:
        """Bytes that the kernel has received and nobody has read yet."""
        return self._client.unread_bytes()

    @property
    def unwritten(self) -> int:
        """Bytes that were written and the kernel does not take yet."""
        return self._client.unwritten_bytes()

    @property
    def denied(self) -> int:
        """Subscriptions that the server does not let us have."""
        return len(self._denied)

    @property
    def is_lost(self) -> bool:
        return self._lost.done()

    @property
    def may_have_jetstream(self) -> bool:
        """False of a server before 2.10, which would not understand what it is asked."""
        version = self._client.connected_server_version
        try:
            known = (version.major, version.minor)
        except ValueError:
            return False
        return known >= (2, 10) and bool(self._client._server_info.get("headers"))

    @property
    def payload_bytes_max(self) -> int:
        """What the server takes, and so what it may send."""
        return int(self._client.max_payload)

    @property
    def server_version(self) -> str:
        """As the server calls it."""
        version = self._client.connected_server_version
        try:
            return f"{version.major}.{version.minor}.{version.patch}"
        except ValueError:
            return "unknown"

    async def round_trip_s(self) -> float:
        """How long the server takes to answer. For ever, if it does not: set a limit."""
        return await self._client.rtt(timeout=_NO_TIMEOUT_S)

    async def open(self) -> None:
        """Connect, and subscribe to all of the subjects."""
        await self.connect()
        await self.subscribe(self._subjects)

    async def connect(self) -> None:
        """Return when the server has let us in; raise what stands in the way."""
        await self.unless_lost(self._connect(), self._limits.connect_timeout_s)

    async def subscribe(self, subjects: Sequence[str]) -> None:
        """To these, and to the control subjects. Returns when the server has confirmed it."""
        self._receivers = dict.fromkeys(subjects, self._owner.receive) | self._receivers
        await self.unless_lost(self._subscribe_to_all(), self._limits.connect_timeout_s)

    async def watch(self) -> Exception:
        """Wait until this connection is of no more use, and return why."""
        while not self._lost.done():
            await _first_of(self._lost, timeout_s=self._limits.heartbeat_interval_s)
            if not self._lost.done():
                await self._heartbeat()
            if self._denied and not self._lost.done():
                await self._ask_again()
        return self._lost.result()

    async def close(self) -> None:
        """Let go of everything, in bounded time. May be called again if a call was cancelled."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close_client())
        await _first_of(self._closing, timeout_s=self._limits.close_timeout_s)
        await end(self._closing)

    # For whoever has more to say to the server

    async def ask(self, subject: str, payload: bytes, timeout_s: float) -> bytes:
        """See :meth:`Requests.ask`."""
        return await self._requests.ask(subject, payload, timeout_s)

    def send(self, subject: str, payload: bytes = b"", reply: str = "") -> None:
        self._client.send(subject, payload, reply)

    def new_inbox(self) -> str:
        return self._client.new_inbox()

    async def listen(self, inbox: str, receiver: Receiver) -> int:
        """Returns what ``unlisten`` wants."""
        return await self._client.listen(inbox, receiver)

    async def unlisten(self, number: int) -> None:
        await self._client.unlisten(number)

    def lose(self, reason: Exception) -> None:
        """It is of no more use: ``watch`` ends, for this reason unless there was one before."""
        if not self._lost.done():
            self._lost.set_result(reason)
            self._requests.end(reason)

    # Publishing

    def write(self, commands: bytes) -> None:
        """Whole commands for the server; nowhere if the link is lost."""
        if not self._lost.done():
            self._client.write(commands)

    async def settle(self) -> None:
        """Return when the server has seen all that was written; raise what loses the link."""
        await self.unless_lost(self._confirm(), self._limits.heartbeat_timeout_s)

    async def end_input(self) -> None:
        """Return when all that the server had for us was received, and no more comes."""
        self._client.unsubscribe_all()
        await self.settle()

    # Connecting

    async def _connect(self) -> None:
        if self._address.url.startswith(("ws://", "wss://")):
            load_websockets()
        await self._client.connect(
            servers=[self._address.url],
            name="wsgate",
            allow_reconnect=False,
            no_echo=not self._echo,
            # In whole seconds, and for each of its steps; the limit for all of them is ours.
            connect_timeout=math.ceil(self._limits.connect_timeout_s),
            error_cb=self._on_error,
            closed_cb=self._on_closed,
            **self._login.options(),
        )
        if not self._client.is_connected:
            # connect() takes any answer but an -ERR for a welcome, and sends nothing ever after.
            raise ProtocolError

    async def _subscribe_to_all(self) -> None:
        for subject in self._receivers:
            await self._subscribe(subject)
        await self._confirm()

    async def _subscribe(self, subject: str) -> None:
        receiver = self._receivers[subject]
        self._subscriptions[subject] = await self._client.listen(subject, receiver)

    async def _resubscribe(self, subjects: Sequence[str]) -> None:
        for subject in subjects:
            await self._client.unlisten(self._subscriptions[subject])
            await self._subscribe(subject)
        await self._confirm()

    async def _confirm(self) -> None:
        """Return when the server has seen all that was asked of it, and has objected if it will.

        Two round trips, since nats-py sends a PING at once but what was queued before it in a later
        turn of the loop: only the second PING is sure to be behind the subscriptions. And not its
        ``flush``, which returns at once when the read loop is dead.
        """
        for _ in range(2):
            await self._client.rtt(timeout=_NO_TIMEOUT_S)

    async def _ask_again(self) -> None:
        if self._loop.time() - self._denied_at < self._limits.denied_retry_s:
            return
        asked = sorted(self._denied)
        self._denied.clear()
        try:
            await self.unless_lost(self._resubscribe(asked), self._limits.heartbeat_timeout_s)
        except Exception as error:
            self.lose(error)
            return
        for subject in asked:
            if subject not in self._denied:
                self._owner.granted(subject)

    # Watching

    async def _heartbeat(self) -> None:
        """Lose the link unless the server answers or, being busy, at least still sends.

        Two short waits rather than a long one: after a stall of our own the loop runs a timer that
        is overdue before it reads the answer that has been there all the time.
        """
        timeout_s = self._limits.heartbeat_timeout_s
        ping = asyncio.create_task(self._client.rtt(timeout=_NO_TIMEOUT_S))
        try:
            silent_waits = 0
            while silent_waits < 2 and not ping.done() and not self._lost.done():
                received = self._messages
                await _first_of(ping, self._lost, timeout_s=timeout_s / 2)
                silent_waits = silent_waits + 1 if self._messages == received else 0
            if not ping.done():
                self.lose(LinkSilent(f"no answer within {timeout_s:g} s"))
            elif (error := ping.exception()) is not None:
                self.lose(LinkSilent(f"cannot ping: {error}"))
        finally:
            await end(ping)

    async def unless_lost(
        self, work: Coroutine[Any, Any, None], timeout_s: float | None = None
    ) -> None:
        """Await ``work``; raise what it raises, what loses the link meanwhile, or LinkTimeout."""
        task = asyncio.create_task(work)
        try:
            await _first_of(task, self._lost, timeout_s=timeout_s)
            if self._lost.done():
                raise self._lost.result()
            if not task.done():
                raise LinkTimeout(f"the server has confirmed nothing within {timeout_s:g} s")
            task.result()
        finally:
            await end(task)

    async def _close_client(self) -> None:
        self.lose(ConnectionError("closed from here"))
        await self._client.close()
        # If nats-py is closing already, on its own account, close() has returned at once.
        await self._client_closed.wait()

    # Called by nats-py

    async def _on_error(self, error: Exception) -> None:
        if _PERMISSIONS in str(error):
            self._on_permissions(error)
        else:
            self.lose(self._reason_behind(error))

    def _on_permissions(self, error: Exception) -> None:
        # nats-py puts what the server says into lower case.
        text = str(error)
        denied = [one for one in self._receivers if f'"{one.lower()}"' in text]
        if not self._requests.denied(text) and not denied:
            self._owner.complained(error)
        for subject in denied:
            self._denied.add(subject)
            self._denied_at = self._loop.time()
            self._owner.denied(subject)

    async def _on_closed(self) -> None:
        self.lose(self._reason_behind(ConnectionError("connection closed")))
        self._client_closed.set()

    def _on_reader_end(self) -> None:
        self.lose(self._reason_behind(LinkDeaf("nats-py stopped reading")))

    def _reason_behind(self, error: Exception) -> Exception:
        """What nats-py remembers goes before what it reports.

        It only remembers an -ERR that ends the connection, and then reports the end of the stream
        that comes after; but it also remembers the permissions that were denied long ago.
        """
        remembered: Exception | None = self._client.last_error
        if remembered is None or _PERMISSIONS in str(remembered):
            return error
        return remembered


async def _first_of(*futures: asyncio.Future[Any], timeout_s: float | None) -> None:
    """Return when one of them is done, or none in time; raise for none of them."""
    await asyncio.wait(futures, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel, unless it is over, and wait for the end; nobody else asks for its exception.

    Again and again: nats-py, and before Python 3.12 ``wait_for``, may swallow a cancellation.
    """
    while not task.done():
        task.cancel()
        await _first_of(task, timeout_s=_CANCEL_AGAIN_S)
    if not task.cancelled():
        task.exception()
