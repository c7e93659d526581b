"""Refusals before a request is read, or instead of reading one; other answers without picows."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Final, cast

from wsgate.edge.drain import Drain, Replaced

RETRY_AFTER_S: Final = 1


def _response(status: HTTPStatus, text: str, *headers: str) -> bytes:
    body = text.encode() + b"\n"
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Connection: close",
        "Content-Type: text/plain",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


BUSY: Final = _response(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "this gateway has as many new clients as it can take at the moment",
    f"Retry-After: {RETRY_AFTER_S}",
)
HEADER_TOO_LARGE: Final = _response(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the head of the request is too large"
)


class Busy(asyncio.Protocol):
    """For sockets that may not even ask; it keeps nothing, so that one does for all of them."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        connected = cast(asyncio.Transport, transport)
        if self._answer:
            connected.write(self._answer)
        connected.close()


def answer(transport: asyncio.Transport, response: bytes) -> None:
    """Answer, and wait for the client to close: what it still sends would take the answer away.

    TLS has no half of a connection to close, and closes the whole.
    """
    transport.write(response)
    transport.set_protocol(Drain(cast(Replaced, transport.get_protocol())))
    if transport.can_write_eof():
        transport.write_eof()
    else:
        transport.close()
