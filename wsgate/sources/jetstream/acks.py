"""Where a message stands, as the server says it in the message's reply subject.

``$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>``, or with
domain and account in front of the stream, and then with one more token at the end.
"""

from __future__ import annotations

from typing import NamedTuple

_TOKENS = 9
_TOKENS_WITH_DOMAIN = 12


class Place(NamedTuple):
    stream_seq: int
    consumer_seq: int


def place(reply: bytes) -> Place | None:
    """None if this is no message of a stream."""
    tokens = reply.split(b".")
    if tokens[:2] != [b"$JS", b"ACK"]:
        return None
    if len(tokens) == _TOKENS:
        numbers = tokens[5:7]
    elif len(tokens) >= _TOKENS_WITH_DOMAIN - 1:
        numbers = tokens[7:9]
    else:
        return None
    try:
        return Place(*map(int, numbers))
    except ValueError:
        return None
