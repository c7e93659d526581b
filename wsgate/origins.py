"""Which web pages may connect: the Origin header (RFC 6454 section 7) against a list.

Browsers send it with every WebSocket handshake and let no page choose it (RFC 6455 sections 4.1 and
10.2), which keeps other people's pages from using a visitor's connection. It is no protection from
programs, which can send what they like, so one that sends none is let in unless the list says
``required``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final, NamedTuple

ALLOWED_TEXT: Final = (
    "origins such as https://site.example or http://localhost:8080,"
    " https://*.site.example for all its subdomains, null, required, and * for any"
)

_ANY: Final = "*"
_NULL: Final = "null"  # what pages without an origin send: from files, in sandboxed frames
_REQUIRED: Final = "required"

_CACHED_MAX: Final = 1024
_LENGTH_MAX: Final = 320  # a host name has at most 253
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_LABELS: Final = r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?"
_ORIGIN = re.compile(
    rf"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<any_subdomain>\*\.)?"
    rf"(?P<host>{_LABELS}|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{{1,5}}))?"
).fullmatch


class _Origin(NamedTuple):
    scheme: str
    host: str
    port: int | None  # None: the scheme's own


class Origins:
    """The origins that may connect; ValueError says which entry is none and what is allowed.

    - ``https://site.example``: this one. Case does not matter, nor does a port that is the
      scheme's own; any other port does.
    - ``https://*.site.example``: its subdomains, of one label or more, not itself.
    - ``null``: pages that have no origin, which anybody can make.
    - ``*``: any, ``null`` too, whatever they send; alone, or with ``required``.
    - ``required``: a client must say where it comes from.
    """

    __slots__ = ("_any", "_listed", "_required")

    def __init__(self, entries: Iterable[str]) -> None:
        words = [entry.strip() for entry in entries]
        self._required = _REQUIRED in words
        self._any = _ANY in words
        origins = [word for word in words if word not in (_REQUIRED, _ANY)]
        if not origins and not self._any:
            raise ValueError(f"no origin is listed; allowed are {ALLOWED_TEXT}")
        if origins and self._any:
            raise ValueError(f"'*' allows any origin, so {origins[0]!r} beside it means nothing")
        self._listed = _compiled(origins)

    def allows(self, origin: str | None) -> bool:
        """Whether a client may connect that sent this Origin header; None if it sent none."""
        if origin is None:
            return not self._required
        return self._any or (len(origin) <= _LENGTH_MAX and self._listed(origin))


def _compiled(words: list[str]) -> Callable[[str], bool]:
    """Decides by entries that are origins or "null"."""
    exact: set[_Origin] = set()
    parents: set[_Origin] = set()
    null = _NULL in words
    for word in words:
        if word != _NULL:
            origin, any_subdomain = _entry(word)
            (parents if any_subdomain else exact).add(origin)

    # Pages are few and their visitors many.
    @lru_cache(maxsize=_CACHED_MAX)
    def allows(text: str) -> bool:
        if text == _NULL:
            return null
        parsed = _parse(text)
        if parsed is None or parsed[1]:
            return False
        origin = parsed[0]
        if origin in exact:
            return True
        parent = origin.host
        while parents and parent:
            parent = parent.partition(".")[2]
            if origin._replace(host=parent) in parents:
                return True
        return False

    return allows


def _entry(word: str) -> tuple[_Origin, bool]:
    parsed = _parse(word) if len(word) <= _LENGTH_MAX else None
    if parsed is None:
        raise ValueError(f"{word!r} is no origin{_hint(word)}; allowed are {ALLOWED_TEXT}")
    origin, any_subdomain = parsed
    if origin.scheme in ("ws", "wss"):
        raise ValueError(
            f"{word!r} is what clients connect to; an origin is the page they connect from, such as"
            f" http{word[2:]}"
        )
    return origin, any_subdomain


def _hint(word: str) -> str:
    """What is probably wrong with it."""
    if "://" not in word:
        return " (it begins with no scheme)"
    if "/" in word.partition("://")[2]:
        return " (an origin has no path, nor a slash at its end)"
    if not word.isascii():
        return " (browsers send such names as xn--...)"
    return ""


def _parse(text: str) -> tuple[_Origin, bool] | None:
    """An origin in lower case in its one form, and whether it stands for subdomains."""
    # Lower case has letters of ASCII for some that are none: those are no part of a host name.
    found = _ORIGIN(text.lower()) if text.isascii() else None
    if found is None:
        return None
    scheme, host = found["scheme"], found["host"]
    any_subdomain = found["any_subdomain"] is not None
    if host.startswith("["):
        try:
            host = f"[{IPv6Address(host[1:-1])}]"
        except ValueError:
            return None
        if any_subdomain:
            return None
    port = None if found["port"] is None else int(found["port"])
    if port is not None and not 1 <= port <= 65535:
        return None
    if port == _DEFAULT_PORTS.get(scheme):
        port = None
    return _Origin(scheme, host, port), any_subdomain
