"""The PROXY protocol on a socket: whom the proxy speaks for, before the client's first byte.

Only a peer in a configured network has to send such a header, and no other is asked for one:
whoever may send one chooses the address it is known by. What comes after it goes on untouched.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol, cast

from wsgate.edge.admission import Handshakes
from wsgate.networks import TrustedNetworks
from wsgate.proxy_protocol import Needed, ProxyProtocolError, parse

log = logging.getLogger("wsgate.edge")

READ_BYTES = 4096
_read = bytearray(READ_BYTES)  # one for all: what is in it is copied at once


class Named(Protocol):
    """The protocol that answers requests, as far as it is told who asks."""

    client: tuple[str, int] | None


class Reader(Protocol):
    @property
    def established(self) -> bool: ...

    """Whoever is not read from while he waits for his turn."""

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Turns(Protocol):
    """When what was read may be looked at; ``wsgate.turns`` has one."""

    def has_time(self) -> bool: ...
    def wait(self, who: Reader, look: Callable[[], None]) -> None: ...
    def leave(self, who: Reader) -> None: ...


class Inner(Protocol):
    """A buffered protocol that can be told to look at once at what lies in its buffer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def get_buffer(self, sizehint: int) -> memoryview: ...
    def look(self, nbytes: int) -> None: ...


class Proxied(asyncio.BufferedProtocol):
    """Stands before ``inner`` until the header is there; ``asker`` is told whose it is."""

    __slots__ = ("_asker", "_handshakes", "_head", "_inner", "_transport", "_trusted", "_turns")

    def __init__(
        self,
        inner: Inner,
        asker: asyncio.BaseProtocol,
        handshakes: Handshakes,
        turns: Turns,
        trusted: TrustedNetworks,
    ) -> None:
        self._inner = inner
        self._asker = asker
        self._handshakes = handshakes
        self._turns = turns
        self._trusted = trusted
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        if peer and self._trusted.contains(peer[0]):
            self._handshakes.begin(self._asker, transport)
        else:
            self._step_aside(b"")

    def get_buffer(self, sizehint: int) -> bytearray:
        return _read

    def buffer_updated(self, nbytes: int) -> None:
        self._head += bytes(memoryview(_read)[:nbytes])
        if self._turns.has_time():
            self._look()
        else:
            self._turns.wait(self, self._look_late)

    @property
    def established(self) -> bool:
        return False

    def pause_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _look_late(self) -> None:
        """As ``buffer_updated``, of which the event loop sees to what it raises."""
        try:
            self._look()
        except Exception:
            log.exception("what a client sent could not be looked at")
            self._transport.abort()

    def _look(self) -> None:
        try:
            found = parse(self._head)
        except ProxyProtocolError as error:
            self._handshakes.refuse("proxy_header")
            log.debug("no PROXY protocol header: %s", error.reason)
            self._transport.abort()
            return
        if isinstance(found, Needed):
            return
        cast(Named, self._asker).client = found.source
        self._step_aside(self._head[found.size :])

    def connection_lost(self, exc: Exception | None) -> None:
        self._turns.leave(self)
        self._handshakes.end(self._asker)

    def _step_aside(self, rest: bytes) -> None:
        """From now on the transport is ``inner``'s, which gets the rest as if it had read it."""
        transport, inner = self._transport, self._inner
        protocol = cast(asyncio.BaseProtocol, inner)
        transport.set_protocol(protocol)
        inner.connection_made(transport)
        while rest and transport.get_protocol() is protocol and not transport.is_closing():
            buffer = memoryview(inner.get_buffer(len(rest)))
            size = min(len(buffer), len(rest))
            buffer[:size] = rest[:size]
            inner.look(size)
            rest = rest[size:]
