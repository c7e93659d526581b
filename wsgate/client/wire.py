"""What goes over the wire: a decoder for each subprotocol, and the commands.

A subprotocol decides on the form of publications alone; all else is JSON text in each. To add one:
write its ``Decoder``, and put it into ``DECODERS`` before those that it is better than.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

from orjson import JSONDecodeError, dumps, loads

from wsgate import delta
from wsgate.client.items import Update
from wsgate.client.messages import Message, parse
from wsgate.protocol import DELTA_SUBPROTOCOL, RESERVED_TYPES, SUBPROTOCOL, CommandId

Positions: TypeAlias = dict[str, dict[str, tuple[str, int]]]
"""Epoch and seq of channels, by the name through which they are subscribed to."""


class Undecodable(Exception):
    """The message is not what the subprotocol says messages are."""


class Decoder(Protocol):
    """Of one connection, since it may remember what came before."""

    def decode(self, message: str | bytes) -> Update | Message | None:
        """``message`` is ``str`` if it came as text; raises Undecodable, and nothing else.

        None if there is nothing in it that this client knows of.
        """
        ...


class JsonDecoder:
    """``wsgate.v1``: everything is JSON text."""

    __slots__ = ()

    def decode(self, message: str | bytes) -> Update | Message | None:
        try:
            fields = loads(message)
        except JSONDecodeError as error:
            raise Undecodable(str(error)) from None
        if type(fields) is not dict:
            raise Undecodable("a message is an object")
        kind = fields.get("type")
        if "data" not in fields or type(kind) is not str or kind in RESERVED_TYPES:
            try:
                return parse(fields)
            except ValueError as error:
                raise Undecodable(str(error)) from None
        try:
            update = Update(kind, fields["channel"], fields["seq"], fields["prev"], fields["data"])
        except KeyError as missing:
            raise Undecodable(f"a publication without {missing}") from None
        if type(update.seq) is int and type(update.prev) is int and type(update.channel) is str:
            return update
        raise Undecodable("a publication with fields of wrong types")


class DeltaDecoder:
    """``wsgate.delta.v1``: publications are binary, all else is JSON text."""

    __slots__ = ("_publications", "_text")

    def __init__(self) -> None:
        self._text = JsonDecoder()
        self._publications = delta.Decoder()

    def decode(self, message: str | bytes) -> Update | Message | None:
        if isinstance(message, str):
            return self._text.decode(message)
        try:
            found = self._publications.decode(message)
            if found is None:
                return None
            return Update(found.type, found.channel, found.seq, found.prev, loads(found.data))
        except (delta.DeltaError, JSONDecodeError) as error:
            raise Undecodable(str(error)) from None


DECODERS: Final[dict[str, Callable[[], Decoder]]] = {
    DELTA_SUBPROTOCOL: DeltaDecoder,
    SUBPROTOCOL: JsonDecoder,
}
"""What is offered to the gateway, best first."""


def decoder_of(subprotocol: str | None) -> Decoder:
    """For what was selected; a gateway that selects nothing speaks ``wsgate.v1``."""
    return DECODERS[subprotocol or SUBPROTOCOL]()


# ------------------------------------------------------------------------------------ commands

# A position, or a name in an array, with what stands around it.
ENTRY_BYTES: Final = len('"":{"epoch":"","seq":},') + 20
NAME_BYTES: Final = len('"",')


def subscribe(
    id: CommandId,
    channels: Sequence[str],
    max_rate: float | None,
    recover: Mapping[str, tuple[str, int]],
) -> str:
    command: dict[str, Any] = {"type": "subscribe", "channels": channels, "id": id}
    if max_rate is not None:
        command["max_rate"] = max_rate
    if recover:
        command["recover"] = {
            channel: {"epoch": epoch, "seq": seq} for channel, (epoch, seq) in recover.items()
        }
    return dumps(command).decode()


def unsubscribe(id: CommandId, channels: Sequence[str]) -> str:
    return dumps({"type": "unsubscribe", "channels": channels, "id": id}).decode()


def auth(id: CommandId, token: str) -> str:
    return dumps({"type": "auth", "token": token, "id": id}).decode()


def bare(kind: str, id: CommandId) -> str:
    """``ping``, ``pause`` and ``resume`` say nothing else."""
    return dumps({"type": kind, "id": id}).decode()
