"""permessage-deflate (RFC 7692): what is agreed with a client, and how a message is compressed.

Nothing is kept from one message to the next in either direction (``*_no_context_takeover``), so
that one compressed frame serves every subscriber and a connection needs no state. Pure: text and
bytes in, values out.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

EXTENSION: Final = "permessage-deflate"
WINDOW_BITS_MAX: Final = 15
OFFERS_MAX: Final = 16  # looked at in one request; a browser sends one or two

# What every compressed message ends with, and none carries (RFC 7692 7.2.1).
SYNC_TAIL: Final = b"\x00\x00\xff\xff"

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PARAMETER = re.compile(rf'[ \t]*({_TOKEN})[ \t]*(?:=[ \t]*(?:({_TOKEN})|"({_TOKEN})")[ \t]*)?')
_BITS = re.compile(r"[89]|1[0-5]").fullmatch

# Safari 15.0 to 15.3 cannot do it; on iOS every browser is Safari's engine.
_BROKEN_CLIENT = re.compile(
    r"Version/15\.[0-3](?:\.\d+)* .*Safari/"
    r"|(?:iPhone|iPad|iPod).* OS 15_[0-3](?:_\d+)* like Mac OS X"
).search


class Agreement(NamedTuple):
    """What a client and the gateway agreed on."""

    response: str  # the value of Sec-WebSocket-Extensions
    window_bits: int  # 8 to 15: how far back, as a power of two, frames for this client may refer


def agree(offers: str, user_agent: str = "") -> Agreement | None:
    """The first of the client's offers that can be met, from a ``Sec-WebSocket-Extensions`` header.

    None: nothing that was offered is permessage-deflate, or none of the sets of parameters can be
    met (unknown ones, values that are not allowed), or the client is one that cannot do it.
    """
    if EXTENSION not in offers or _BROKEN_CLIENT(user_agent):
        return None
    for parameters in _offers(offers):
        agreement = _answer(parameters)
        if agreement is not None:
            return agreement
    return None


def _answer(parameters: dict[str, str | None]) -> Agreement | None:
    window_bits = WINDOW_BITS_MAX
    response = f"{EXTENSION}; server_no_context_takeover; client_no_context_takeover"
    for name, value in parameters.items():
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            if value is not None:
                return None
        elif name == "client_max_window_bits":  # we can inflate whatever it chooses
            if value is not None and not _BITS(value):
                return None
        elif name == "server_max_window_bits":
            if value is None or not _BITS(value):
                return None
            window_bits = int(value)
            response += f"; server_max_window_bits={value}"
        else:
            return None
    return Agreement(response, window_bits)


def _offers(header: str) -> Iterator[dict[str, str | None]]:
    """The parameters of each permessage-deflate in the header, in order, but for malformed ones."""
    for offer in header.split(",", OFFERS_MAX)[:OFFERS_MAX]:
        name, *parts = offer.split(";")
        if name.strip(" \t") != EXTENSION:
            continue
        parameters: dict[str, str | None] = {}
        for part in parts:
            found = _PARAMETER.fullmatch(part)
            if found is None or found[1] in parameters:
                break
            parameters[found[1]] = found[2] or found[3]
        else:
            yield parameters


def _by_zlib(payload: bytes) -> bytes:
    # A window of 4 KB costs a fifth of a full one to set up and finds the same in a small message.
    bits, memory = (12, 5) if len(payload) <= 4096 else (WINDOW_BITS_MAX, 8)
    stream = zlib.compressobj(6, zlib.DEFLATED, -bits, memory)
    return (stream.compress(payload) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


def _by_isal() -> Callable[[bytes], bytes] | None:
    try:
        from isal import isal_zlib
    except ImportError:  # no wheel for this platform
        return None

    def compress(payload: bytes) -> bytes:
        stream = isal_zlib.compressobj(3, isal_zlib.DEFLATED, -WINDOW_BITS_MAX)
        squeezed: bytes = stream.compress(payload) + stream.flush(isal_zlib.Z_SYNC_FLUSH)
        return squeezed[:-4]

    return compress


# One message, compressed, as it stands in a frame with RSV1 set: without its SYNC_TAIL.
compress: Final[Callable[[bytes], bytes]] = _by_isal() or _by_zlib
