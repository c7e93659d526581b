"""How much of what was told on a channel nobody has read, and when it has been."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from tests.support.loop import on_loop
from wsgate.channel import Channel, ChannelClosed


async def deaf(question: str, argument: Any) -> None:
    return None


@on_loop
async def test_a_backlog_is_known_and_can_be_waited_for() -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    channel = Channel(deaf)
    with pytest.raises(ChannelClosed):
        await channel.has_read()
    assert channel.backlog_bytes == 0
    await channel.open(ours)
    await channel.has_read()
    while channel.backlog_bytes < 1_000_000:
        channel.tell("anything", "x" * 100_000)
    waiting = asyncio.create_task(channel.has_read())
    await asyncio.sleep(0)
    assert not waiting.done()
    while not waiting.done():
        await asyncio.get_running_loop().sock_recv(theirs, 65536)
    assert channel.backlog_bytes < 1_000_000
    channel.tell("anything", "x" * 10_000_000)
    waiting = asyncio.create_task(channel.has_read())
    await asyncio.sleep(0)
    theirs.close()
    with pytest.raises(ChannelClosed):
        await waiting
    await channel.close()
