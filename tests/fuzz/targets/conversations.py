"""Several clients at once: what they send, when they read, and how they go, in any order."""

from __future__ import annotations

import asyncio
import json

from tests.fuzz.inmemory import LIMITS, UPGRADE, Gateway
from tests.fuzz.tape import Tape
from tests.fuzz.timeless import run
from tests.support.frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, frame

OPCODES = [TEXT, CONTINUATION, PING, PONG, CLOSE, BINARY, 0x3, 0xB]
CHANNELS = [
    "token.a.update", "token.b.update", "token.a.comment", "global.trending", "global.x",
    "token.*.update", "token.*.comment", "global.>", "token.>", "nobody",
]  # fmt: skip
COMMANDS = ["subscribe", "unsubscribe", "ping", "auth", "pause", "nonsense"]
RATES = [None, None, 1, 10, 1000, 0.01, 3, 4, 5, 6, 7, 8, 9]
STEPS_MAX = 200


def fuzz(data: bytes) -> None:
    run(lambda: _fuzz(Tape(data)))


async def _fuzz(tape: Tape) -> None:
    gateway = Gateway()
    try:
        for _ in range(STEPS_MAX):
            if not tape:
                break
            await _step(gateway, tape)
        await gateway.finish()
    finally:
        await gateway.stop()


async def _step(gateway: Gateway, tape: Tape) -> None:
    step = tape.number(255)
    clients = [client for client in gateway.clients if client.open]
    if step < 16 or not clients:
        if len(gateway.clients) < 2 * LIMITS.connections_max:
            gateway.connect().send(UPGRADE)
    elif step < 96:
        tape.one_of(clients).send(frame(TEXT, _command(tape)))
    elif step < 160:
        payload = json.dumps("x" * tape.number(2000)).encode()
        gateway.hub.publish(tape.one_of(CHANNELS), payload)
    elif step < 200:
        await asyncio.sleep(tape.one_of([0, 0, 0.001, 0.1, 0.3]))
        _check_bounds(gateway)
    elif step < 224:
        tape.one_of(clients).read()
    elif step < 240:
        tape.one_of(clients).send(_frame(tape))
    elif step < 250:
        gateway.hub.feed_stale("a")
        gateway.hub.feed_live("a", tape.one_of([(), ("token.>",)]))
    elif step < 253:
        tape.one_of(clients).vanish()
    else:
        tape.one_of(clients).end_of_file()


def _command(tape: Tape) -> bytes:
    fields = {
        "type": tape.one_of(COMMANDS),
        "channels": [tape.one_of(CHANNELS) for _ in range(tape.number(4))],
        "max_rate": tape.one_of(RATES),
    }
    return json.dumps(fields).encode()


def _frame(tape: Tape) -> bytes:
    flags = tape.number(255)
    return frame(
        tape.one_of(OPCODES),
        tape.bytes(tape.number(200)),
        fin=bool(flags & 1),
        reserved=0 if flags < 240 else flags >> 1 & 7,
        masked=flags < 250,
        length_bytes=8 if flags & 0x70 == 0x70 else None,
    )


def _check_bounds(gateway: Gateway) -> None:
    gateway.core.check()
    for handle in gateway.hub._connections:
        owed = gateway.core.delivery.owed(handle)
        if owed is not None:
            assert owed["events"] <= LIMITS.events_count_max + 1  # a gap stands behind them
            assert owed["events_bytes"] <= LIMITS.events_bytes_max
            assert owed["control_bytes"] <= LIMITS.control_bytes_max
    assert gateway.core.channels.count <= LIMITS.channels_max
    assert len(gateway.hub) <= LIMITS.connections_max
