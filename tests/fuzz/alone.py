"""A hub with one client, and neither edge nor network: what it is sent lies in a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple

from tests.core.wire import Wire
from tests.fuzz.inmemory import LIMITS
from wsgate.hub import Hub
from wsgate.rules import DEFAULT_RULES


class MadeUpConnection(SimpleNamespace):
    """A connection without an edge: as that one's, it is a key, and equal to itself alone."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__


class Alone(NamedTuple):
    hub: Hub
    client: Any
    stream: bytearray
    """Everything that went out to the client, unless it was cleared."""


@asynccontextmanager
async def alone() -> AsyncIterator[Alone]:
    """Made inside a running loop. The client leaves at the end, and the core has to be in order."""
    wire = Wire()
    hub = Hub(wire, DEFAULT_RULES, LIMITS)
    client: Any = MadeUpConnection(
        handle=0, window_bits=0, speaks_delta=False,
        credential=None, session=None, end_reason=None, heard=True,
        pinged=False, close_sent=False, ended=False, peer="-",
        sent_away=False, held_back=False, messages=0, traffic=(0, 0),
        pause_reading=lambda: None, resume_reading=lambda: None,
        close_transport=lambda: None, abort=lambda: None,
    )  # fmt: skip
    hub.opened(client)
    yield Alone(hub, client, wire.stream(client.handle & 0xFFFFFFFF))
    hub.core.check()
    hub.lost(client)
    hub.core.check()
    await hub.stop()
