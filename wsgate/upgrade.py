"""HTTP on the clients' port: who is upgraded, who is refused, and two health paths.

A browser sees nothing of a refused upgrade but 1006, so only what is no WebSocket request at all,
or one too many, is refused here; all else is told inside the connection.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Protocol

import orjson
from multidict import CIMultiDict
from picows import WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener

from wsgate.auth.carriers import BadCredentials, find
from wsgate.deflate import Agreement, agree
from wsgate.edge.allowance import Allowance
from wsgate.edge.listener import Connection
from wsgate.edge.sink import SocketSink
from wsgate.hub import Hub
from wsgate.limits import COMMANDS_BURST_S, PINGS_BURST_S, Limits
from wsgate.networks import TrustedNetworks, client_address, group
from wsgate.origins import Origins
from wsgate.protocol import DELTA_SUBPROTOCOL, SUBPROTOCOL, SUBPROTOCOLS, select_subprotocol

RETRY_AFTER_S = "5"
LACKS = {
    "capacity": b"this gateway has as many connections as it may\n",
    "overload": b"this gateway is overloaded\n",
}
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: "
)


class SwitchingProtocols(WSUpgradeResponse):
    """The 101. But for the key's answer it is the same for all who agreed on the same."""

    __slots__ = ("_tail",)

    def __init__(self, subprotocol: str | None, extensions: str | None) -> None:
        self.status = HTTPStatus.SWITCHING_PROTOCOLS
        self.headers = {}  # type: ignore[assignment]  # one name is put in, and read again at once
        self.body = None
        self._tail = b"\r\n\r\n"
        if extensions is not None:
            self._tail = b"\r\nSec-WebSocket-Extensions: " + extensions.encode() + self._tail
        if subprotocol is not None:
            self._tail = b"\r\nSec-WebSocket-Protocol: " + subprotocol.encode() + self._tail

    def to_bytes(self) -> bytearray:
        """What picows sends, once it has put Sec-WebSocket-Accept among the headers."""
        answer = self.headers["Sec-WebSocket-Accept"].encode()
        return bytearray(SWITCHING + answer + self._tail)


switching_protocols = lru_cache(maxsize=64)(SwitchingProtocols)  # there are nineteen


class Asker(Protocol):
    """Who sent a request, as far as the socket tells; ``wsgate.edge.handshake.Protocol`` is one."""

    @property
    def client(self) -> tuple[str, int] | None: ...
    def peername(self) -> tuple[Any, ...] | None: ...


class Upgrade:
    """Answers each HTTP request with a new connection of the hub, or a refusal.

    ``not_ready()`` gives the reasons why this gateway wants no new clients, for ``/readyz``: it
    keeps accepting them all the same, since when NATS is away every gateway is unready at once.
    """

    def __init__(
        self,
        hub: Hub,
        sink: SocketSink,
        limits: Limits,
        not_ready: Callable[[], list[str]],
        *,
        deflate: bool = True,
        delta: bool = True,
        authenticated: bool = False,
        origins: Origins | None = None,
        proxies: TrustedNetworks | None = None,
    ) -> None:
        self._hub = hub
        self._sink = sink
        self._limits = limits
        self._not_ready = not_ready
        self._offers_deflate = deflate
        self._spoken = SUBPROTOCOLS if delta else (SUBPROTOCOL,)
        self._authenticated = authenticated
        self._origins = origins
        self._proxies = proxies
        self._allowance = Allowance(
            commands_per_s=limits.commands_per_s or 0.0,
            commands_burst=max(1.0, (limits.commands_per_s or 0.0) * COMMANDS_BURST_S),
            pings_per_s=limits.pings_per_s or 0.0,
            pings_burst=max(1.0, (limits.pings_per_s or 0.0) * PINGS_BURST_S),
        )
        self.refused: Counter[str] = Counter()

    def __call__(self, request: WSUpgradeRequest, asker: Asker) -> WSUpgradeResponseWithListener:
        headers = request.headers
        if "Upgrade" not in headers:
            return self._plain(request)
        lack = self._hub.capacity.lack
        if lack is not None:
            return self._refuse(
                HTTPStatus.SERVICE_UNAVAILABLE, lack, LACKS[lack], {"Retry-After": RETRY_AFTER_S}
            )
        if self._origins is not None and not self._origins.allows(headers.get("Origin")):
            return self._refuse(
                HTTPStatus.FORBIDDEN, "origin", b"pages of this origin may not connect here\n", {}
            )
        client, address_group = self._identify(headers, asker)
        if address_group is not None and not self._has_room(address_group):
            return self._refuse(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "address",
                b"this gateway has as many connections from your address as it may\n",
                {"Retry-After": RETRY_AFTER_S},
            )
        offers = headers.getall("Sec-WebSocket-Protocol", ())
        offer = ",".join(offers) if offers else None
        credential = None
        if self._authenticated:
            try:
                credential = find(request.path, offer, self._spoken)
            except BadCredentials as error:
                return self._refuse(
                    HTTPStatus.BAD_REQUEST, "credentials", f"{error}\n".encode(), {}
                )
        _accept_upgrade_in_list(request)
        selected = select_subprotocol(offer, self._spoken) if offer is not None else None
        speaks_delta = selected == DELTA_SUBPROTOCOL
        # What is deflated already would not get any smaller.
        agreement = None if speaks_delta else self._deflate(headers)
        connection = Connection(
            self._hub,
            self._sink,
            message_bytes_max=self._limits.message_bytes_max,
            fragments_max=self._limits.fragments_max,
            allowance=self._allowance,
            inflates=agreement is not None,
        )
        connection.credential = credential
        connection.speaks_delta = speaks_delta
        connection.client, connection.address_group = client, address_group
        if agreement is None:
            return WSUpgradeResponseWithListener(switching_protocols(selected, None), connection)
        connection.window_bits = agreement.window_bits
        return WSUpgradeResponseWithListener(
            switching_protocols(selected, agreement.response), connection
        )

    def _identify(self, headers: CIMultiDict[str], asker: Asker) -> tuple[str | None, str | None]:
        """The client's address if it is a proxy that has it, and the group that it counts for.

        To ask for the peer is a system call: where neither matters it is not done.
        """
        if self._hub.addresses is None and self._proxies is None:
            return None, None
        peer = asker.peername()
        if not peer:
            return None, None
        address: str = peer[0]
        client = f"{address}:{peer[1]}" if asker.client is not None else None
        if self._proxies is not None:
            forwarded = headers.getall("X-Forwarded-For", ())
            if forwarded and self._proxies.contains(address):
                client = address = client_address(address, list(forwarded), self._proxies)
        return client, None if self._hub.addresses is None else group(address)

    def _has_room(self, address_group: str) -> bool:
        return self._hub.addresses is None or self._hub.addresses.has_room(address_group)

    def _deflate(self, headers: CIMultiDict[str]) -> Agreement | None:
        offers = headers.getall("Sec-WebSocket-Extensions", ())
        if not offers or not self._offers_deflate:
            return None
        return agree(",".join(offers), headers.get("User-Agent", ""))

    def _plain(self, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        """A request that is no upgrade: a health check, HTTP/1.0 and HEAD too, or somebody lost."""
        path = request.path.partition(b"?")[0]
        if path == b"/healthz":
            return _answer(HTTPStatus.OK, b"ok\n")
        if path == b"/readyz":
            reasons = self._not_ready()
            if not reasons:
                return _answer(HTTPStatus.OK, b"ready\n")
            return _answer(HTTPStatus.SERVICE_UNAVAILABLE, orjson.dumps({"not_ready": reasons}))
        if request.method != b"GET" or request.version != b"HTTP/1.1":
            return self._refuse(
                HTTPStatus.BAD_REQUEST,
                "not_a_websocket",
                b"a WebSocket begins with GET and HTTP/1.1\n",
                {},
            )
        return self._refuse(
            HTTPStatus.UPGRADE_REQUIRED,
            "not_a_websocket",
            b"this is a WebSocket endpoint: connect with ws://, at any path\n",
            {"Upgrade": "websocket"},
        )

    def _refuse(
        self, status: HTTPStatus, reason: str, body: bytes, headers: dict[str, str]
    ) -> WSUpgradeResponseWithListener:
        self.refused[reason] += 1
        return _answer(status, body, headers)


def _answer(
    status: HTTPStatus, body: bytes, headers: dict[str, str] | None = None
) -> WSUpgradeResponseWithListener:
    if status < 400:
        response = WSUpgradeResponse.create_ok_response(body, headers)
    else:
        response = WSUpgradeResponse.create_error_response(status, body, headers)
    return WSUpgradeResponseWithListener(response, None)


def _accept_upgrade_in_list(request: WSUpgradeRequest) -> None:
    """Let ``Connection: keep-alive, Upgrade`` pass, which RFC 6455 allows and picows does not."""
    lines = request.headers.getall("Connection", [])
    if len(lines) == 1 and lines[0].lower() == "upgrade":
        return
    tokens = [token.strip().lower() for line in lines for token in line.split(",")]
    if "upgrade" in tokens:
        request.headers["Connection"] = "upgrade"
