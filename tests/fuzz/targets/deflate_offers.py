"""An offer of extensions and a user agent: an answer that RFC 7692 allows to it, or none.

The first line is the user agent's, the rest is the value of ``Sec-WebSocket-Extensions``.
"""

from __future__ import annotations

import re

from wsgate.deflate import agree, compress
from wsgate.edge.inflate import inflated

WORDS = [
    b"permessage-deflate", b"x-webkit-deflate-frame", b"server_no_context_takeover",
    b"client_no_context_takeover", b"server_max_window_bits", b"client_max_window_bits", b"=",
    b"=8", b"=9", b"=15", b'="10"', b"=16", b"=08", b"; ", b", ", b'"', b"\t", b"\n",
    b"Mozilla/5.0 (Macintosh) Version/15.1 Safari/605", b"iPhone OS 15_0 like Mac OS X",
]  # fmt: skip
# RFC 6455 9.1 and RFC 7692 7.1, of what a gateway may answer; each parameter at most once.
_RESPONSE = re.compile(
    r"permessage-deflate"
    r"(?:; (?:server_no_context_takeover|client_no_context_takeover"
    r"|(?:server|client)_max_window_bits=(?:[89]|1[0-5])))*"
).fullmatch


def fuzz(data: bytes) -> None:
    agent, _, offers = data.decode("latin-1").partition("\n")
    agreement = agree(offers, agent)
    if agreement is None:
        return
    assert _RESPONSE(agreement.response), agreement
    parameters = agreement.response.split("; ")[1:]
    names = [parameter.partition("=")[0] for parameter in parameters]
    assert len(set(names)) == len(names), agreement
    # No state is kept, whatever the client would have it do.
    assert {"server_no_context_takeover", "client_no_context_takeover"} <= set(names)
    bits = [text[23:] for text in parameters if text.startswith("server_max_window_bits=")]
    assert agreement.window_bits == int(bits[0] if bits else 15)
    # 7.1.2.1 and 7.1.2.2: an answer never has a limit that was not asked for.
    assert all(name in offers for name in names if name.endswith("_bits"))
    assert agree(agreement.response) == agreement, "our own answer is an offer that we can meet"
    assert agree(offers) == agreement, "a user agent may only be refused"
    assert agree("x, " + offers) in (agreement, None)
    message = data[:4096]
    assert inflated(compress(message), len(message)) == message
