"""An endpoint that says again whatever it hears, on the gateway's own edge, core and hub.

For conformance tests only. It differs from the gateway in what it does with a message, in taking
binary ones, and in how much one may hold.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from picows import WSUpgradeRequest, WSUpgradeResponseWithListener

from wsgate.core.frame import Frame
from wsgate.deflate import WINDOW_BITS_MAX, agree, compress
from wsgate.edge.acceptor import LISTEN_BACKLOG, Acceptor
from wsgate.edge.admission import Handshakes
from wsgate.edge.allowance import Allowance
from wsgate.edge.handshake import protocol_factory
from wsgate.edge.listener import Connection
from wsgate.edge.sink import SocketSink
from wsgate.hub import Connection as HubConnection
from wsgate.hub import Hub
from wsgate.limits import Limits
from wsgate.rules import DEFAULT_RULES
from wsgate.upgrade import Asker, SwitchingProtocols

MESSAGE_BYTES_MAX = 16 << 20
FRAGMENTS_MAX = 1 << 20
LIMITS = Limits(control_bytes_max=8 * MESSAGE_BYTES_MAX)
AS_MUCH_AS_THEY_LIKE = Allowance(commands_per_s=0, commands_burst=1, pings_per_s=0, pings_burst=1)


class EchoHub(Hub):
    """The gateway's hub, for which a message is not a command."""

    def received(self, connection: HubConnection, message: bytes) -> None:
        self._say(connection, Frame.text, message)

    def received_binary(self, connection: HubConnection, message: bytes) -> None:
        self._say(connection, Frame.binary, message)

    def _say(self, connection: HubConnection, encode: Callable[..., Frame], message: bytes) -> None:
        # As publications are: what is longer than a small window goes out uncompressed.
        window_bits = connection.window_bits
        if window_bits == WINDOW_BITS_MAX or (window_bits and len(message) <= 1 << window_bits):
            frame = encode(compress(message), deflated=True)
        else:
            frame = encode(message)
        self.core.delivery.reply(connection.handle, frame)
        self._flushing.replies_wait()


class EchoUpgrade:
    """Upgrades everybody; what is agreed on extensions is what the gateway would agree on."""

    def __init__(self, hub: EchoHub, sink: SocketSink) -> None:
        self._hub = hub
        self._sink = sink

    def __call__(self, request: WSUpgradeRequest, asker: Asker) -> WSUpgradeResponseWithListener:
        agreement = agree(",".join(request.headers.getall("Sec-WebSocket-Extensions", ())))
        connection = Connection(
            self._hub,
            self._sink,
            message_bytes_max=MESSAGE_BYTES_MAX,
            fragments_max=FRAGMENTS_MAX,
            allowance=AS_MUCH_AS_THEY_LIKE,
            inflates=agreement is not None,
            takes_binary=True,
        )
        connection.window_bits = agreement.window_bits if agreement else 0
        response = SwitchingProtocols(None, agreement.response if agreement else None)
        return WSUpgradeResponseWithListener(response, connection)


@asynccontextmanager
async def echo_endpoint() -> AsyncIterator[int]:
    """Runs until the block ends; the value is its port, on loopback."""
    # Its buffers are not bounded as the gateway's: a segment on loopback is as large as that bound,
    # and the rest of a large message would wait 40 ms for a delayed ACK.
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(LISTEN_BACKLOG)
    listening.setblocking(False)
    sink = SocketSink()
    hub = EchoHub(sink, DEFAULT_RULES, LIMITS)
    handshakes = Handshakes(
        LIMITS.handshake_timeout_s,
        at_once_max=LIMITS.handshakes_max,
        header_bytes_max=LIMITS.header_bytes_max,
    )
    acceptor = Acceptor(
        listening,
        protocol_factory(
            EchoUpgrade(hub, sink), handshakes, hub.turns, message_bytes_max=MESSAGE_BYTES_MAX
        ),
    )
    await acceptor.start()
    try:
        yield listening.getsockname()[1]
    finally:
        acceptor.stop()
        listening.close()
        await hub.departures.drain(0.0)
        handshakes.stop()
        await hub.stop()
        await asyncio.sleep(0)  # the sockets' last callbacks
