"""A worker: one process with a hub, its sources and one listening socket.

``python -m wsgate.worker`` is how the supervisor starts it: orders come on standard input. Signals
are the supervisor's affair, and whatever ends it ends the worker too.
"""

from __future__ import annotations

import pickle
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

import structlog
import uvloop

import wsgate.lean  # noqa: F401  # before whatever loads nats-py
from wsgate import log
from wsgate.addresses import AddressCounts, Tables
from wsgate.app import Gateway
from wsgate.auth.identity import Identity
from wsgate.board import Board
from wsgate.capacity import Capacity
from wsgate.channel import Channel, ChannelClosed, Refused
from wsgate.desk import Desk
from wsgate.orders import Orders


def main() -> None:
    orders = pickle.load(sys.stdin.buffer)
    assert isinstance(orders, Orders)
    # A terminal, or systemd, tells every process of the group.
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    log.configure(orders.blueprint.log_level, orders.blueprint.log_format)
    structlog.contextvars.bind_contextvars(worker=orders.number)
    raise SystemExit(uvloop.run(work(orders)))


async def work(orders: Orders) -> int:
    """From the first to the last; returns the exit status."""
    desk: Desk | None = None

    async def answer(question: str, argument: Any) -> Any:
        assert desk is not None, "asked before it serves"
        return await desk.answer(question, argument)

    channel = Channel(answer)
    await channel.open(socket.socket(fileno=orders.channel))

    async def redeem(ticket: str) -> Identity | None:
        try:
            found = await channel.ask("redeem", ticket)
        except Refused:  # nobody gave any: WS_AUTH was none when the supervisor started
            return None
        return None if found is None else Identity.from_plain(found)

    board = Board(orders.board, orders.lines)
    gateway = Gateway(
        orders.blueprint,
        socket.socket(fileno=orders.listening),
        capacity=Capacity(orders.blueprint.limits.connections_max, board, orders.line),
        addresses=_addresses(orders),
        redeem=redeem,
        live_sources=orders.live_sources,
    )
    try:
        await gateway.start()
    except OSError as error:
        with suppress(ChannelClosed):
            await channel.ask("failed", error.strerror or str(error))
        return 1
    desk = Desk(gateway)
    channel.tell("started")
    await channel.closed()
    await gateway.stop()  # at once; nothing is left to do if it was drained
    return 0


def _addresses(orders: Orders) -> AddressCounts | None:
    limits = orders.blueprint.limits
    if limits.connections_per_address_max is None:
        return None
    assert orders.addresses is not None, "there is a limit, and nothing to count with"
    return AddressCounts(
        limits.connections_per_address_max,
        limits.connections_max,
        Tables.of(orders.addresses, orders.lines),
        orders.line,
    )


if __name__ == "__main__":
    main()
