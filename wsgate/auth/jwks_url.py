"""Keys from an issuer's URL."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

import aiohttp

from wsgate.auth.keyset import KeySet, KeysUnusable, from_jwks
from wsgate.auth.limits import KeyLimits

_URL_FORM = "https://host[:port]/path, or http:// within a network that is trusted"


class JwksUrl:
    """A JWK Set behind http or https, as issuers publish it (RFC 7517 §5)."""

    def __init__(self, url: str) -> None:
        """Raise KeysUnusable for what is no such URL, without repeating it."""
        try:
            parts = urlsplit(url.strip())
            usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise KeysUnusable(f"it is no URL of a JWKS; must be like {_URL_FORM}") from None
        self._url = url.strip()
        self._name = _without_secrets(parts)
        self._seen: bytes | None = None

    @property
    def name(self) -> str:
        return self._name

    def interval_s(self, limits: KeyLimits) -> float | None:
        return limits.refresh_interval_s

    @property
    def remote(self) -> bool:
        return True

    async def load(self, limits: KeyLimits) -> KeySet | None:
        document = await self._fetch(limits)
        if document == self._seen:
            return None
        key_set = from_jwks(document, secrets_allowed=False)
        self._seen = document
        return key_set

    async def _fetch(self, limits: KeyLimits) -> bytes:
        bytes_max = limits.document_bytes_max
        # A session for each fetch: between two of them lie minutes, and in those the name may come
        # to mean another host. Nothing compressed, so that the bound is one on what is held.
        try:
            async with (
                aiohttp.ClientSession(
                    timeout=aiohttp.ClientTimeout(total=limits.fetch_timeout_s),
                    headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                    cookie_jar=aiohttp.DummyCookieJar(),
                    auto_decompress=False,
                ) as session,
                # Redirected, the keys would be those of a place that nobody has configured.
                session.get(self._url, allow_redirects=False) as response,
            ):
                if response.status != 200:
                    raise KeysUnusable(f"the answer is {response.status}, not 200")
                document = bytearray()
                async for chunk in response.content.iter_any():
                    document += chunk
                    if len(document) > bytes_max:
                        raise KeysUnusable(f"the answer has more than {bytes_max} bytes")
                return bytes(document)
        except TimeoutError:
            raise KeysUnusable(f"no whole answer within {limits.fetch_timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Not its text, which may have the URL in it.
            raise KeysUnusable(_kind_of(error)) from None


def _without_secrets(parts: SplitResult) -> str:
    """A URL's scheme, host and path: a login, or a key among its parameters, stays out."""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _kind_of(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "the host's certificate is not trusted, or not for this name"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host's name cannot be resolved"
    if isinstance(error, OSError) and error.strerror:
        return f"no connection: {error.strerror}"
    return f"no usable answer ({type(error).__name__})"
