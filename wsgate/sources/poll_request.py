"""One question to a backend, over HTTP, and what may become of it."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

import aiohttp
from yarl import URL

from wsgate.sources.poll_limits import PollLimits

NOTHING_NEW: Final = (204, 304)


class Trouble(NamedTuple):
    """A kind of failure: its name in metrics and in the log, and what the operator can do."""

    kind: str
    hint: str


UNREACHABLE = Trouble(
    "unreachable", "check WS_POLL_URL: does the backend run there, can it be reached from here?"
)
TIMEOUT = Trouble(
    "timeout", "the backend is too slow, or hangs: make it faster, or raise WS_POLL_TIMEOUT_S"
)
DENIED = Trouble("denied", "check WS_POLL_TOKEN: the backend does not let this gateway ask")
STATUS = Trouble("status", "see the backend's own log; WS_POLL_URL must name the path of updates")
REDIRECT = Trouble("status", "redirects are not followed: WS_POLL_URL must name where it leads")
TOO_LARGE = Trouble(
    "too_large", "have the backend answer less at a time, or raise WS_POLL_MAX_BYTES"
)
UNUSABLE = Trouble(
    "unusable",
    "check WS_POLL_URL, and that WS_POLL_ITEMS and WS_POLL_CURSOR say where things are in an"
    " answer",
)
INTERNAL = Trouble("internal", "this is a fault of the gateway: report it with this line")
KINDS: Final = tuple(
    dict.fromkeys(
        one.kind for one in (UNREACHABLE, TIMEOUT, DENIED, STATUS, TOO_LARGE, UNUSABLE, INTERNAL)
    )
)


class PollFailed(Exception):
    """There is no answer that could be used; the text says why, and has no secret in it."""

    def __init__(self, trouble: Trouble, text: str) -> None:
        super().__init__(text)
        self.trouble = trouble


class CursorExpired(Exception):
    """The backend no longer knows what happened since the cursor (410)."""


class PollRequest:
    """Asks ``url`` for what is new, with ``token`` as bearer if there is one."""

    def __init__(self, url: str, limits: PollLimits, *, token: str | None = None) -> None:
        self._url = URL(url)
        self._limits = limits
        self._headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._session: aiohttp.ClientSession | None = None
        self._tag: tuple[URL, str] | None = None  # an ETag is good for its own URL only
        self.name = _without_secrets(urlsplit(url))

    async def fetch(self, cursor: str | None) -> bytes | None:
        """What the backend answers; None if nothing is new. Raises PollFailed, CursorExpired."""
        url = self._url if cursor is None else self._url.update_query(since=cursor)
        try:
            return await self._fetch(url, expirable=cursor is not None)
        except BaseException as error:
            # The next attempt has a new connection, maybe to another and healthier host.
            await self.close()
            if isinstance(error, TimeoutError):
                raise PollFailed(
                    TIMEOUT, f"no whole answer within {self._limits.timeout_s:g} s"
                ) from None
            if isinstance(error, aiohttp.ClientError | OSError):
                # Not its text, which may have the URL in it.
                raise PollFailed(UNREACHABLE, _kind_of(error)) from None
            raise

    async def close(self) -> None:
        session, self._session = self._session, None
        self._tag = None
        if session is not None:
            await session.close()

    async def _fetch(self, url: URL, *, expirable: bool) -> bytes | None:
        tagged = self._tag is not None and self._tag[0] == url
        headers = {"If-None-Match": self._tag[1]} if self._tag is not None and tagged else {}
        # Redirected, the publications would be those of a place that nobody has configured.
        async with self._open().get(url, headers=headers, allow_redirects=False) as response:
            status = response.status
            if status in NOTHING_NEW and (tagged or status != 304):
                return None
            if status == 410 and expirable:
                raise CursorExpired
            if status != 200:
                trouble = {401: DENIED, 403: DENIED}.get(status, STATUS)
                raise PollFailed(
                    REDIRECT if 300 <= status < 400 and status != 304 else trouble,
                    f"the answer is {status}, not 200",
                )
            body = await self._read(response)
            tag = response.headers.get("ETag")
            self._tag = None if tag is None else (url, tag)
            return body

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._limits.timeout_s),
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # so that the bound is one on what is held
            )
        return self._session

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        bytes_max = self._limits.bytes_max
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise PollFailed(UNUSABLE, "the answer is compressed, which nobody asked for")
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > bytes_max:
                raise PollFailed(TOO_LARGE, f"the answer has more than {bytes_max} bytes")
        return bytes(body)


def _without_secrets(parts: SplitResult) -> str:
    """A URL's scheme, host and path: a key among its parameters stays out."""
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def _kind_of(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "the host's certificate is not trusted, or not for this name"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host's name cannot be resolved"
    if isinstance(error, OSError) and error.strerror:
        return f"no connection: {error.strerror}"
    return f"no usable answer ({type(error).__name__})"
