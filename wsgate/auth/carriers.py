"""How a credential comes with an upgrade request, and how a request is logged without it.

Three ways, of which a request may use one: ``?auth=<jwt>``, ``?ticket=<ticket>``, and a second
subprotocol, ``wsgate.v1, wsgate.auth.<jwt>``, since browsers let a page set no header but that.

Here a credential is only found; whether it is any good is for others to say. So what cannot be one,
such as an empty string, is handed on, and refused where the client can be told why.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from enum import StrEnum
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from wsgate.protocol import SUBPROTOCOLS, select_subprotocol

MASK: Final = "***"
SUBPROTOCOL_PREFIX: Final = "wsgate.auth."

# Shorter than any token or ticket; longer parts of a path are masked.
_SHOWN_CHARACTERS_MAX: Final = 32
_PARTS_SHOWN_MAX: Final = 8


class CredentialKind(StrEnum):
    """The values are the names of the parameters."""

    TOKEN = "auth"
    TICKET = "ticket"


_KIND_BY_NAME: Final = {kind.value.encode(): kind for kind in CredentialKind}


class Credential(NamedTuple):
    kind: CredentialKind
    text: str

    def __repr__(self) -> str:
        return f"Credential({self.kind}, <{len(self.text)} characters>)"


class BadCredentials(Exception):
    """The request cannot be understood: 400. The text is for the client, without secrets."""


def find(
    path: bytes, offer: str | None = None, spoken: Collection[str] = SUBPROTOCOLS
) -> Credential | None:
    """The one credential of a request, if it has one.

    ``path``: the target of the request line. ``offer``: the value of Sec-WebSocket-Protocol, of
    several such headers joined by commas. ``spoken``: what of it may be selected. Raises
    BadCredentials.
    """
    found = list(_in_path(path))
    if offer is not None and SUBPROTOCOL_PREFIX in offer:
        found += _in_offer(offer, spoken)
    if len(found) > 1:
        raise BadCredentials(
            f"the request has {len(found)} credentials; give one: ?auth=, ?ticket= or a subprotocol"
            f" {SUBPROTOCOL_PREFIX}<token>"
        )
    return found[0] if found else None


def _in_path(path: bytes) -> Iterator[Credential]:
    query = path.partition(b"?")[2]
    if not query:
        return
    for parameter in query.split(b"&"):
        name, _, value = parameter.partition(b"=")
        kind = _KIND_BY_NAME.get(_percent_decoded(name))
        if kind is not None:
            # Credentials are ASCII: whatever else it is, it is refused as one.
            yield Credential(kind, _percent_decoded(value).decode("ascii", "replace"))


def _in_offer(offer: str, spoken: Collection[str]) -> Iterator[Credential]:
    for name in offer.split(","):
        token = name.strip().removeprefix(SUBPROTOCOL_PREFIX)
        if token != name.strip():
            # A client whose only offers are tokens would have one of them selected, that is sent
            # back, or no connection at all.
            if select_subprotocol(offer, spoken) is None:
                raise BadCredentials(
                    f"a subprotocol {SUBPROTOCOL_PREFIX}<token> needs wsgate.v1 beside it:"
                    " the token itself is never selected"
                )
            yield Credential(CredentialKind.TOKEN, token)


def safe_path(path: bytes) -> str:
    """The target of a request for a log: a credential is shown nowhere, wherever it was put.

    Of the query only our own parameters' names are shown. Of the path itself, parts as long as a
    credential are masked. It is short, and printable ASCII, whatever it was.
    """
    target, mark, query = path.partition(b"?")
    parts = target.split(b"/")
    shown = "/".join(_shown(part) for part in parts[:_PARTS_SHOWN_MAX])
    if len(parts) > _PARTS_SHOWN_MAX:
        shown += f"/{MASK}"
    return shown + "?" + _masked_query(query) if mark else shown


def _shown(part: bytes) -> str:
    if len(part) > _SHOWN_CHARACTERS_MAX:
        return MASK
    return "".join(chr(byte) if 0x20 < byte < 0x7F else "." for byte in part)


def _masked_query(query: bytes) -> str:
    """Each of our parameters once, all others together."""
    if not query:
        return ""
    names = {_percent_decoded(one.partition(b"=")[0]) for one in query.split(b"&")}
    ours = [f"{kind}={MASK}" for name, kind in _KIND_BY_NAME.items() if name in names]
    others = [MASK] if names - _KIND_BY_NAME.keys() else []
    return "&".join(ours + others)


def _percent_decoded(text: bytes) -> bytes:
    """As forms are encoded: ``+`` is a space."""
    if b"%" not in text and b"+" not in text:
        return text
    return unquote_to_bytes(text.replace(b"+", b" "))
