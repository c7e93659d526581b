"""What a gateway says besides publications, taken apart and checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from wsgate.client.errors import Refused, refused
from wsgate.protocol import FeedState


class Entry(NamedTuple):
    """Where the gateway says that a channel stands."""

    epoch: str
    seq: int
    recovered: bool | None = None


class Subscribed(NamedTuple):
    id: int | None
    entries: dict[str, Entry | None]  # None for a pattern, which has no position
    errors: dict[str, Refused]


class Unsubscribed(NamedTuple):
    id: int | None
    channels: tuple[str, ...]


class Authorized(NamedTuple):
    id: int | None
    expires: float | None  # in seconds since 1970


class Failed(NamedTuple):
    id: int | None
    error: Refused


class Pong(NamedTuple):
    id: int | None


class Paused(NamedTuple):
    id: int | None
    paused: bool


class Missing(NamedTuple):
    channels: tuple[str, ...]


class Feed(NamedTuple):
    state: FeedState


class Reconnect(NamedTuple):
    after_s: float


Message: TypeAlias = (
    Subscribed | Unsubscribed | Authorized | Failed | Pong | Paused | Missing | Feed | Reconnect
)


def parse(fields: dict[str, Any]) -> Message | None:
    """None for a message of a type that came later; raises ValueError if it is malformed."""
    kind = fields.get("type")
    parser = _PARSERS.get(kind) if type(kind) is str else None
    if parser is None:
        return None
    try:
        return parser(fields)
    except (KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"a malformed {kind}: {error!r}") from None


def _id(fields: dict[str, Any]) -> int | None:
    """All ids of this client are integers."""
    id = fields.get("id")
    return id if type(id) is int else None


def _names(fields: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(name) for name in fields["channels"])


def _entry(fields: dict[str, Any]) -> Entry | None:
    if "seq" not in fields:
        return None
    return Entry(str(fields["epoch"]), int(fields["seq"]), fields.get("recovered"))


def _error(fields: dict[str, Any]) -> Refused:
    return refused(str(fields["code"]), str(fields["message"]))


def _subscribed(fields: dict[str, Any]) -> Subscribed:
    entries = {name: _entry(entry) for name, entry in fields["channels"].items()}
    errors = {name: _error(one) for name, one in (fields.get("errors") or {}).items()}
    return Subscribed(_id(fields), entries, errors)


def _authorized(fields: dict[str, Any]) -> Authorized:
    expires = fields.get("expires")
    return Authorized(_id(fields), None if expires is None else float(expires))


_PARSERS: Final[dict[str, Callable[[dict[str, Any]], Message]]] = {
    "subscribed": _subscribed,
    "unsubscribed": lambda fields: Unsubscribed(_id(fields), _names(fields)),
    "authorized": _authorized,
    "error": lambda fields: Failed(_id(fields), _error(fields)),
    "pong": lambda fields: Pong(_id(fields)),
    "paused": lambda fields: Paused(_id(fields), True),
    "resumed": lambda fields: Paused(_id(fields), False),
    "gap": lambda fields: Missing(_names(fields)),
    "feed": lambda fields: Feed("stale" if fields["state"] == "stale" else "live"),
    "reconnect": lambda fields: Reconnect(max(0.0, float(fields["after_ms"]) / 1000.0)),
}
