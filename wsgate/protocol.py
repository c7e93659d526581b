"""The wire protocol ``wsgate.v1``: what may be said, and how it looks in bytes.

Owns every error code, every close code, every limit a client can run into, the grammar of channel
names, the decoding of commands and the encoding of replies. ``docs/protocol.md`` is its prose; a
test keeps their tables equal. Pure: bytes in, values out.

Publications are not here: their bytes are laid out once for all subscribers by ``wsgate.core``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import IntEnum, StrEnum
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypedDict

from orjson import JSONDecodeError, dumps, loads

SUBPROTOCOL: Final = "wsgate.v1"
DELTA_SUBPROTOCOL: Final = "wsgate.delta.v1"  # publications are binary: see ``wsgate.delta``
SUBPROTOCOLS: Final = (SUBPROTOCOL, DELTA_SUBPROTOCOL)

COMMAND_BYTES_MAX: Final = 65_536
# No command has a larger reply; what a connection may be owed in replies has to exceed it.
REPLY_BYTES_MAX: Final = 3 * COMMAND_BYTES_MAX
COMMAND_CHANNELS_MAX: Final = 1_000
COMMAND_ID_BYTES_MAX: Final = 64
# What a JavaScript number holds exactly: a larger id would come back as another one.
COMMAND_ID_INTEGER_MAX: Final = 2**53 - 1
CHANNEL_BYTES_MAX: Final = 255
CHANNEL_TOKENS_MAX: Final = 16
EPOCH_LENGTH_MAX: Final = 64
SEQ_MAX: Final = 2**53 - 1
MAX_RATE_MIN: Final = 0.01
MAX_RATE_MAX: Final = 1_000.0
CONNECTION_RATES_MAX: Final = 8
CONNECTION_SUBSCRIPTIONS_MAX: Final = 1_000
BAD_COMMANDS_IN_A_ROW_MAX: Final = 16


class ErrorCode(StrEnum):
    """Why a command, or one channel of it, was refused. The connection lives on."""

    message: str

    def __new__(cls, code: str, message: str) -> ErrorCode:
        member = str.__new__(cls, code)
        member._value_ = code
        member.message = message
        return member

    # The command was refused whole.
    BAD_JSON = "bad_json", "the message is not JSON"
    BAD_COMMAND = "bad_command", "the command is not formed as the protocol says"
    UNKNOWN_COMMAND = "unknown_command", "there is no command of this type"
    NOT_SUPPORTED = "not_supported", "this part of the protocol is not supported yet"
    TOO_MANY_RATES = (
        "too_many_rates",
        f"a connection may use at most {CONNECTION_RATES_MAX} different values of max_rate at once",
    )
    # One channel was refused; the command's other channels are not concerned.
    BAD_CHANNEL = "bad_channel", "not a channel name or pattern"
    UNKNOWN_CHANNEL = "unknown_channel", "no rule names such a channel"
    PATTERN_NOT_ALLOWED = "pattern_not_allowed", "no permitted pattern covers this one whole"
    TOO_MANY_SUBSCRIPTIONS = (
        "too_many_subscriptions",
        "the connection holds as many subscriptions as it may",
    )
    TOO_MANY_CHANNELS = "too_many_channels", "the gateway serves as many channels as it may"
    NOT_PERMITTED = "not_permitted", "the token does not permit this channel"
    AUTH_REQUIRED = "auth_required", "auth comes first: nothing else is done without a token"
    AUTH_FAILED = "auth_failed", "the token was refused"


class CloseCode(IntEnum):
    """Why the gateway ends a connection. The reason on the wire is the name in lower case."""

    when: str

    def __new__(cls, code: int, when: str) -> CloseCode:
        member = int.__new__(cls, code)
        member._value_ = code
        member.when = when
        return member

    NORMAL = 1000, "answer to the client's own CLOSE"
    GOING_AWAY = 1001, "answer to the client's own CLOSE, as from a page that is left"
    PROTOCOL_ERROR = 1002, "the client broke the WebSocket protocol"
    UNSUPPORTED_DATA = 1003, "the client sent a binary message"
    BAD_PAYLOAD = 1007, "the client sent text that is not UTF-8, or what cannot be inflated"
    MESSAGE_TOO_BIG = 1009, "the client sent a message over the limit"
    INTERNAL_ERROR = 1011, "the gateway failed on this connection"
    SERVICE_RESTART = 1012, "the gateway is stopping or restarting"
    TRY_AGAIN_LATER = (
        1013,
        "the keys to check the token with cannot be had at the moment, or too much waits",
    )
    SLOW_CONSUMER = 4001, "more is owed to the client than may be, and it does not read"
    TOKEN_EXPIRED = 4401, "the token expired; come back with a new one"
    AUTH_TIMEOUT = 4402, "no token came within the time there is for it"
    BAD_TOKEN = 4501, "the token was refused"
    TOO_MANY_BAD_COMMANDS = (
        4502,
        f"{BAD_COMMANDS_IN_A_ROW_MAX} malformed commands without a good one between them",
    )
    TOKEN_REVOKED = 4503, "the backend has cut this subject off"
    TOO_MANY_COMMANDS = 4504, "the client sent more commands, or pings, than it may"

    @property
    def reason(self) -> str:
        return self.name.lower()

    @property
    def reconnect(self) -> bool:
        """Whether a client should come back; for codes from 4000 on the range alone decides."""
        if self >= 4000:
            return self < 4500
        return self.name in ("GOING_AWAY", "INTERNAL_ERROR", "SERVICE_RESTART", "TRY_AGAIN_LATER")


CommandId: TypeAlias = str | int


class ProtocolError(Exception):
    """A command is refused; ``close`` is set if that was one too many for the connection."""

    def __init__(
        self, code: ErrorCode, message: str | None = None, reply_to: CommandId | None = None
    ) -> None:
        super().__init__(code, message, reply_to)
        self.code = code
        self.message = code.message if message is None else message
        self.reply_to = reply_to
        self.close: CloseCode | None = None

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


def select_subprotocol(offer: str, spoken: Collection[str] = SUBPROTOCOLS) -> str | None:
    """The first name in the value of a ``Sec-WebSocket-Protocol`` header that is spoken, if any."""
    if offer == SUBPROTOCOL:  # as most say it
        return SUBPROTOCOL
    return next((name for name in map(str.strip, offer.split(",")) if name in spoken), None)


# ------------------------------------------------------------------------------- channel names

# Printable ASCII without space, and without what a JSON string would have to escape: a valid name
# is spliced into frames as it is. "*" and ">" stand alone or not at all.
_LITERAL = r'[^\x00-\x20\x7f-\U0010ffff"\\.*>]++'
_NAME = re.compile(rf"(?:{_LITERAL}\.){{0,{CHANNEL_TOKENS_MAX - 1}}}+{_LITERAL}").fullmatch
_NAME_OR_PATTERN = re.compile(
    rf"(?:(?:{_LITERAL}|\*)\.){{0,{CHANNEL_TOKENS_MAX - 1}}}+(?:{_LITERAL}|\*|>)"
).fullmatch


def is_channel(name: str) -> bool:
    """Whether ``name`` is the name of one channel, without wildcards."""
    return len(name) <= CHANNEL_BYTES_MAX and _NAME(name) is not None


def is_channel_or_pattern(name: str) -> bool:
    """Whether ``name`` may be subscribed to, as far as its form goes."""
    return len(name) <= CHANNEL_BYTES_MAX and _NAME_OR_PATTERN(name) is not None


def is_pattern(name: str) -> bool:
    """Whether a well-formed ``name`` has wildcards."""
    return "*" in name or ">" in name


# ------------------------------------------------------------------------------------ commands


class Place(NamedTuple):
    """How far a client has come on a channel."""

    epoch: str
    seq: int


class Subscribe(NamedTuple):
    channels: tuple[str, ...]  # without duplicates, in the order given; well-formed or not
    max_rate: float | None = None
    recover: Mapping[str, Place] = {}
    id: CommandId | None = None


class Unsubscribe(NamedTuple):
    channels: tuple[str, ...]  # as given: what could not be subscribed to is not subscribed
    id: CommandId | None = None


class Ping(NamedTuple):
    id: CommandId | None = None


class Auth(NamedTuple):
    token: str
    id: CommandId | None = None

    def __repr__(self) -> str:
        return f"Auth(token=<{len(self.token)} characters>, id={self.id!r})"


class Pause(NamedTuple):
    id: CommandId | None = None


class Resume(NamedTuple):
    id: CommandId | None = None


Command: TypeAlias = Subscribe | Unsubscribe | Ping | Auth | Pause | Resume


def decode(message: bytes) -> Command:
    """One command; raises ProtocolError, and nothing else, on whatever else the bytes are.

    Keys it does not know are ignored, and ``null`` is as good as absent, so that newer clients can
    talk to it.
    """
    try:
        fields = loads(message)
    except JSONDecodeError:
        raise ProtocolError(ErrorCode.BAD_JSON) from None
    if type(fields) is not dict:
        raise ProtocolError(ErrorCode.BAD_COMMAND, "a command is a JSON object")
    reply_to = fields.get("id")
    if reply_to is not None and not _is_id(reply_to):
        raise ProtocolError(
            ErrorCode.BAD_COMMAND,
            f"id is a string of at most {COMMAND_ID_BYTES_MAX} bytes or an integer of at most"
            " 53 bits",
        )
    kind = fields.get("type")
    if type(kind) is not str:
        raise ProtocolError(ErrorCode.BAD_COMMAND, "a command has a type, a string", reply_to)
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise ProtocolError(ErrorCode.UNKNOWN_COMMAND, reply_to=reply_to)
    return decoder(fields, reply_to)


# These compare exact types because True is an int to isinstance, and loads makes no subclasses.


def _is_id(value: Any) -> bool:
    if type(value) is int:
        return -COMMAND_ID_INTEGER_MAX <= value <= COMMAND_ID_INTEGER_MAX
    return type(value) is str and len(value.encode()) <= COMMAND_ID_BYTES_MAX


def _channels(fields: dict[str, Any], reply_to: CommandId | None) -> Iterable[str]:
    """The strings under "channels", each once, in the order given."""
    channels = fields.get("channels")
    if type(channels) is not list:
        raise ProtocolError(
            ErrorCode.BAD_COMMAND, "channels is missing or not an array of strings", reply_to
        )
    if len(channels) > COMMAND_CHANNELS_MAX:
        raise ProtocolError(
            ErrorCode.BAD_COMMAND,
            f"a command names at most {COMMAND_CHANNELS_MAX} channels",
            reply_to,
        )
    for channel in channels:
        if type(channel) is not str:
            raise ProtocolError(
                ErrorCode.BAD_COMMAND, "channels holds something that is not a string", reply_to
            )
    return channels if len(set(channels)) == len(channels) else dict.fromkeys(channels)


def _max_rate(fields: dict[str, Any], reply_to: CommandId | None) -> float | None:
    rate = fields.get("max_rate")
    if rate is None:
        return None
    if type(rate) in (int, float) and MAX_RATE_MIN <= rate <= MAX_RATE_MAX:
        return float(rate)
    raise ProtocolError(
        ErrorCode.BAD_COMMAND,
        f"max_rate is a number from {MAX_RATE_MIN:g} to {MAX_RATE_MAX:g}",
        reply_to,
    )


def _decode_subscribe(fields: dict[str, Any], reply_to: CommandId | None) -> Subscribe:
    channels = tuple(_channels(fields, reply_to))
    max_rate = _max_rate(fields, reply_to)
    return Subscribe(channels, max_rate, _recover(fields, reply_to), reply_to)


def _recover(fields: dict[str, Any], reply_to: CommandId | None) -> dict[str, Place]:
    recover = fields.get("recover")
    if recover is None:
        return {}
    if type(recover) is not dict:
        raise ProtocolError(ErrorCode.BAD_COMMAND, "recover is an object of positions", reply_to)
    if len(recover) > COMMAND_CHANNELS_MAX:
        raise ProtocolError(
            ErrorCode.BAD_COMMAND,
            f"a command recovers at most {COMMAND_CHANNELS_MAX} channels",
            reply_to,
        )
    return {channel: _place(position, reply_to) for channel, position in recover.items()}


def _place(position: Any, reply_to: CommandId | None) -> Place:
    if type(position) is dict:
        epoch, seq = position.get("epoch"), position.get("seq")
        named = type(epoch) is str and len(epoch) <= EPOCH_LENGTH_MAX
        if named and type(seq) is int and 0 <= seq <= SEQ_MAX:
            return Place(str(epoch), seq)
    raise ProtocolError(
        ErrorCode.BAD_COMMAND,
        "a position is an object with epoch, a string, and seq, an integer from 0",
        reply_to,
    )


def _decode_unsubscribe(fields: dict[str, Any], reply_to: CommandId | None) -> Unsubscribe:
    return Unsubscribe(tuple(_channels(fields, reply_to)), reply_to)


def _decode_auth(fields: dict[str, Any], reply_to: CommandId | None) -> Auth:
    token = fields.get("token")
    if type(token) is not str:
        raise ProtocolError(ErrorCode.BAD_COMMAND, "token is missing or not a string", reply_to)
    return Auth(token, reply_to)


_DECODERS: Final[dict[str, Callable[[dict[str, Any], CommandId | None], Command]]] = {
    "subscribe": _decode_subscribe,
    "unsubscribe": _decode_unsubscribe,
    "ping": lambda fields, reply_to: Ping(reply_to),
    "auth": _decode_auth,
    "pause": lambda fields, reply_to: Pause(reply_to),
    "resume": lambda fields, reply_to: Resume(reply_to),
}


# ------------------------------------------------------------------------------------- replies

FeedState: TypeAlias = Literal["stale", "live"]

# Types a rule may not give to its publications: clients tell messages apart by type alone.
RESERVED_TYPES: Final = frozenset(
    {
        "subscribed",
        "unsubscribed",
        "pong",
        "error",
        "gap",
        "feed",
        "reconnect",
        "authorized",
        "paused",
        "resumed",
    }
)


class Position(TypedDict, total=False):
    """Where a channel stands: empty for a pattern, which has no position."""

    epoch: str
    seq: int
    recovered: bool


_DETAILS: Final = {code: {"code": code.value, "message": code.message} for code in ErrorCode}


def _head(kind: str, reply_to: CommandId | None) -> dict[str, Any]:
    return {"type": kind} if reply_to is None else {"type": kind, "id": reply_to}


def encode_subscribed(
    channels: Mapping[str, Position],
    errors: Mapping[str, ErrorCode] | None = None,
    reply_to: CommandId | None = None,
) -> bytes:
    reply = _head("subscribed", reply_to)
    reply["channels"] = channels
    if errors:
        reply["errors"] = {channel: _DETAILS[code] for channel, code in errors.items()}
    return dumps(reply)


def encode_unsubscribed(channels: Sequence[str], reply_to: CommandId | None = None) -> bytes:
    reply = _head("unsubscribed", reply_to)
    reply["channels"] = channels
    return dumps(reply)


def encode_authorized(expires_at_s: float | None, reply_to: CommandId | None = None) -> bytes:
    """``expires_at_s``: since 1970; None for a token without an end."""
    reply = _head("authorized", reply_to)
    if expires_at_s is not None:
        reply["expires"] = int(expires_at_s)
    return dumps(reply)


def encode_pong(reply_to: CommandId | None = None) -> bytes:
    return dumps(_head("pong", reply_to))


def encode_paused(reply_to: CommandId | None = None) -> bytes:
    return dumps(_head("paused", reply_to))


def encode_resumed(reply_to: CommandId | None = None) -> bytes:
    return dumps(_head("resumed", reply_to))


def encode_error(error: ProtocolError) -> bytes:
    reply = _head("error", error.reply_to)
    reply |= {"code": error.code.value, "message": error.message}
    return dumps(reply)


def encode_gap(channels: Sequence[str]) -> bytes:
    return dumps({"type": "gap", "channels": channels})


def encode_feed(state: FeedState) -> bytes:
    return dumps({"type": "feed", "state": state})


def encode_reconnect(after_ms: int) -> bytes:
    return dumps({"type": "reconnect", "after_ms": after_ms})
