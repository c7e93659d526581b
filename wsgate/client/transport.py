"""WebSocket over the network: python-websockets, behind the few words that the client needs."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

from wsgate.client.credentials import Way
from wsgate.client.retry import ABNORMAL

try:
    from websockets.asyncio.client import ClientConnection, connect
    from websockets.exceptions import (
        ConnectionClosed,
        InvalidStatus,
        InvalidURI,
        WebSocketException,
    )
    from websockets.typing import Subprotocol
    from websockets.uri import parse_uri
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "wsgate.client needs websockets: pip install 'wsgate[client]'", name=error.name
    ) from error

OPEN_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 5.0
MESSAGE_BYTES_MAX: Final = 4 * 1024 * 1024
TOKEN_SUBPROTOCOL: Final = "wsgate.auth."

# At its most talkative websockets logs the request as it is, with the token in it.
_log = logging.getLogger("wsgate.client.websockets")
_log.setLevel(logging.INFO)


class Unreachable(Exception):
    """There was no answer to the upgrade."""


class NotUpgraded(Exception):
    """There was another answer than the upgrade."""

    def __init__(self, status: int, retry_after_s: float) -> None:
        super().__init__(status)
        self.status = status
        self.retry_after_s = retry_after_s


class Ended(Exception):
    """The connection is closed: with this code, or ``ABNORMAL`` if there was none."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Connection:
    """An open one."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    @property
    def subprotocol(self) -> str | None:
        return self._connection.subprotocol

    async def receive(self) -> str | bytes:
        """The next message; raises Ended."""
        try:
            return await self._connection.recv()
        except ConnectionClosed as end:
            raise _ended(end) from None

    async def send(self, text: str) -> None:
        """Raises Ended."""
        try:
            await self._connection.send(text)
        except ConnectionClosed as end:
            raise _ended(end) from None

    async def close(self, code: int) -> None:
        """The closing handshake, for as long as that may take; what is received can be read on."""
        await self._connection.close(code)

    def abort(self) -> None:
        """Now, without a word. Whoever reads is told."""
        self._connection.transport.abort()


async def open_connection(
    url: str,
    subprotocols: Sequence[str],
    token: str | None,
    way: Way,
    tls: ssl.SSLContext | None,
) -> Connection:
    """Raises NotUpgraded or Unreachable."""
    offered = [Subprotocol(name) for name in subprotocols]
    if token is not None and way is Way.SUBPROTOCOL:
        offered.append(Subprotocol(TOKEN_SUBPROTOCOL + token))
    elif token is not None and way is Way.QUERY:
        url = _with_query(url, "auth", token)
    elif token is not None and way is Way.TICKET:
        url = _with_query(url, "ticket", token)
    try:
        return Connection(
            await connect(
                url,
                subprotocols=offered,
                ssl=tls,
                logger=_log,
                open_timeout=OPEN_TIMEOUT_S,
                close_timeout=CLOSE_TIMEOUT_S,
                ping_interval=None,  # the session knows when it is quiet
                max_size=MESSAGE_BYTES_MAX,
            )
        )
    except InvalidStatus as answer:
        retry_after = answer.response.headers.get("Retry-After")
        raise NotUpgraded(answer.response.status_code, _seconds(retry_after)) from None
    except OSError as error:
        raise Unreachable(f"{type(error).__name__}: {error}") from None
    except (EOFError, WebSocketException) as error:
        raise Unreachable(type(error).__name__) from None  # its text may hold the URL


def check_url(url: str) -> None:
    """Raises ValueError."""
    try:
        parse_uri(url)
    except InvalidURI as error:
        raise ValueError(str(error)) from None


def _ended(end: ConnectionClosed) -> Ended:
    return Ended(ABNORMAL, "") if end.rcvd is None else Ended(end.rcvd.code, end.rcvd.reason)


def _with_query(url: str, name: str, value: str) -> str:
    parts = urlsplit(url)
    pair = f"{name}={quote(value, safe='')}"
    return urlunsplit(parts._replace(query=f"{parts.query}&{pair}" if parts.query else pair))


def _seconds(retry_after: str | None) -> float:
    """Of a header that holds seconds or a date, or is not what it should be."""
    if retry_after is None:
        return 0.0
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        at = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
