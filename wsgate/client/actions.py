"""What the session asks of whoever drives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from wsgate.client.credentials import Way
from wsgate.client.errors import Closed
from wsgate.client.items import Gap
from wsgate.protocol import FeedState


@dataclass(frozen=True, slots=True)
class Timing:
    """How patient the client is."""

    silence_s: float = 25.0  # without a message, then it asks whether anybody is there
    patience_s: float = 10.0  # for anything to come after that
    settled_s: float = 5.0  # a connection that lived so long was no failed attempt
    handover_s: float = 5.0  # for a connection to say what it owes, once the next one is there
    renewal_retry_s: float = 5.0  # until a token that could not be renewed is asked for again


class Dial(NamedTuple):
    """Open a connection, and show this token if there is one."""

    connection: int
    token: str | None
    way: Way


class Say(NamedTuple):
    """Send this text."""

    connection: int
    text: str


class Hang(NamedTuple):
    """Close the connection; with ``ABNORMAL`` without waiting for anybody."""

    connection: int
    code: int


class AskToken(NamedTuple):
    """Get a token; ``token_given`` or ``token_missing`` is the answer."""


class Announce(NamedTuple):
    """Tell the program, if it wants to know."""

    news: Gap | FeedState


class Finish(NamedTuple):
    """Nothing comes any more."""

    error: Closed


Action: TypeAlias = Dial | Say | Hang | AskToken | Announce | Finish
