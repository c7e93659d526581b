"""The endpoint that conformance is tested on, before an hour goes by to find it broken."""

from __future__ import annotations

import pytest
from websockets.asyncio.client import connect

from tests.autobahn.echo import MESSAGE_BYTES_MAX, echo_endpoint
from tests.support.loop import on_loop

MESSAGES = ["", "text", "\u20ac" * 50_000, b"", b"\x00\xff", b"binary" * 50_000]


@pytest.mark.parametrize("compression", [None, "deflate"])
@on_loop
async def test_what_is_said_comes_back(compression: str | None) -> None:
    async with (
        echo_endpoint() as port,
        connect(f"ws://127.0.0.1:{port}", compression=compression, proxy=None) as client,
    ):
        for message in MESSAGES:
            await client.send(message)
            assert await client.recv() == message
            if message:
                await client.send([message[:1], message[1:]])
                assert await client.recv() == message
        extensions = [one.name for one in client.protocol.extensions]
        assert extensions == ([] if compression is None else ["permessage-deflate"])


@on_loop
async def test_a_message_of_the_greatest_size() -> None:
    message = bytes(MESSAGE_BYTES_MAX)
    async with (
        echo_endpoint() as port,
        connect(
            f"ws://127.0.0.1:{port}", compression=None, max_size=MESSAGE_BYTES_MAX, proxy=None
        ) as client,
    ):
        await client.send(message)
        assert await client.recv() == message
