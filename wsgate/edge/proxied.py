"""The PROXY protocol on a socket: whom the proxy speaks for, before the client's first byte.

Only a peer in a configured network has to send such a header, and no other is asked for one:
whoever may send one chooses the address it is known by. What comes after it goes on untouched.
"""

from __future__ import annotations

import asyncio
import logging
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


class Proxied(asyncio.BufferedProtocol):
    """Stands before ``inner`` until the header is there; ``asker`` is told whose it is."""

    __slots__ = ("_asker", "_handshakes", "_head", "_inner", "_transport", "_trusted")

    def __init__(
        self,
        inner: asyncio.BufferedProtocol,
        asker: asyncio.BaseProtocol,
        handshakes: Handshakes,
        trusted: TrustedNetworks,
    ) -> None:
        self._inner = inner
        self._asker = asker
        self._handshakes = handshakes
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
        self._handshakes.end(self._asker)

    def _step_aside(self, rest: bytes) -> None:
        """From now on the transport is ``inner``'s, which gets the rest as if it had read it."""
        transport, inner = self._transport, self._inner
        transport.set_protocol(inner)
        inner.connection_made(transport)
        while rest and transport.get_protocol() is inner and not transport.is_closing():
            buffer = memoryview(inner.get_buffer(len(rest)))
            size = min(len(buffer), len(rest))
            buffer[:size] = rest[:size]
            inner.buffer_updated(size)
            rest = rest[size:]
