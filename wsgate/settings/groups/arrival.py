"""Settings of the way in: how many may come, how fast, how long it may take, and through whom."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, Field
from pydantic_settings import NoDecode

from wsgate.settings.parsers import listed, lower, networks
from wsgate.settings.words import BYTES, UNLIMITED, Allowed, above, whole

CONNECTIONS_MAX: Final = 1_000_000
HANDSHAKES_MAX: Final = 1_000_000
HANDSHAKES_PER_S_MAX: Final = 1_000_000
HANDSHAKE_TIMEOUT_MAX_S: Final = 60
HEADER_BYTES_MIN: Final = 1024  # browsers send some hundred bytes, without cookies and a token
HEADER_BYTES_MAX: Final = 16 * 1024  # picows reads no more


class Arrival(BaseModel):
    """Clients that come, and the proxies they come through"""

    ws_max_connections: Annotated[int, *whole(1, CONNECTIONS_MAX)] = Field(
        default=10_000, description="Clients past this number are refused with 503"
    )
    ws_max_connections_per_address: Annotated[int, *whole(0, CONNECTIONS_MAX, zero=UNLIMITED)] = (
        Field(
            default=0,
            description="Clients past this number of one IPv4 address, or one /64 of IPv6, are"
            " refused with 503",
        )
    )
    ws_max_handshakes: Annotated[int, *whole(1, HANDSHAKES_MAX)] = Field(
        default=4096, description="Sockets that may be about to upgrade at once"
    )
    ws_max_handshakes_per_s: Annotated[int, *whole(0, HANDSHAKES_PER_S_MAX, zero=UNLIMITED)] = (
        Field(default=0, description="New sockets past this rate are refused with 503")
    )
    ws_handshake_timeout_s: Annotated[float, *above(0, HANDSHAKE_TIMEOUT_MAX_S, "seconds")] = Field(
        default=5.0,
        description="How long a socket may take to upgrade, with TLS and a proxy's header",
    )
    ws_max_header_bytes: Annotated[int, *whole(HEADER_BYTES_MIN, HEADER_BYTES_MAX, of=BYTES)] = (
        Field(default=8192, description="A longer head of a request is refused with 431")
    )
    ws_trusted_proxies: Annotated[
        tuple[str, ...],
        NoDecode,
        listed(networks, may_be_empty=True),
        Allowed("a comma list of networks such as 10.0.0.0/8 or 2001:db8::/32, and addresses"),
    ] = Field(default=(), description="Proxies that are believed when they say whom they speak for")
    ws_proxy_protocol: Annotated[
        Literal["off", "on"],
        BeforeValidator(lower),
        Allowed("off, or on with WS_TRUSTED_PROXIES"),
    ] = Field(
        default="off",
        description="Whether connections of trusted proxies begin with a PROXY protocol header",
    )
