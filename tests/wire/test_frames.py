"""What clients may do to frames and messages, and that it makes no difference."""

from __future__ import annotations

import asyncio
import json

from tests.support.client import Client
from tests.support.frames import PING, PONG, TEXT, Frame, command, fragments, frame
from tests.support.gateway import local_gateway
from tests.support.loop import on_loop

COMMAND_BYTES_MAX = 65_536
FRAGMENTS_MAX = 64
EVENT = "token.abc.comment"


SUBSCRIBE = json.dumps({"type": "subscribe", "channels": [EVENT], "id": "s"}).encode()


async def answered(client: Client) -> None:
    """SUBSCRIBE arrived, once and whole."""
    reply = await client.message()
    assert (reply["type"], reply["id"], list(reply["channels"])) == ("subscribed", "s", [EVENT])
    assert await client.settle() == []


@on_loop
async def test_a_frame_may_be_split_at_every_byte() -> None:
    async with local_gateway() as gateway:
        client = await gateway.connect()
        text = frame(TEXT, SUBSCRIBE)
        for cut in range(len(text) + 1):
            await client.send(text[:cut])
            await asyncio.sleep(0)
            await client.send(text[cut:])
            await answered(client)


@on_loop
async def test_frames_of_every_length_form_byte_by_byte() -> None:
    async with local_gateway() as gateway:
        client = await gateway.connect()
        for size in (len(SUBSCRIBE), 125, 126, 300):
            for byte in frame(TEXT, SUBSCRIBE.ljust(size)):
                await client.send(bytes([byte]))
                await asyncio.sleep(0)
            await answered(client)


@on_loop
async def test_many_frames_in_one_packet() -> None:
    async with local_gateway() as gateway:
        client = await gateway.connect()
        await client.send(b"".join(command("ping", id=number) for number in range(1000)))
        assert [one["id"] for one in await client.messages(1000)] == list(range(1000))


@on_loop
async def test_a_message_may_be_fragmented_at_every_byte() -> None:
    async with local_gateway() as gateway:
        client = await gateway.connect()
        for cut in range(len(SUBSCRIBE) + 1):
            for part in fragments(SUBSCRIBE, cut):
                await client.send(part)
            await answered(client)


@on_loop
async def test_fragments_may_be_empty_and_control_frames_come_between() -> None:
    async with local_gateway() as gateway:
        client = await gateway.connect()
        first, *others = fragments(SUBSCRIBE, 0, 0, 10, 10, 20)
        await client.send(first)
        for number, part in enumerate(others):
            await client.send(frame(PING, b"%d" % number))
            assert await client.receive() == Frame(PONG, b"%d" % number)
            await client.send(frame(PONG, b"unasked"))
            await client.send(part)
        await answered(client)


@on_loop
async def test_characters_may_be_cut_by_fragments() -> None:
    message = json.dumps({"type": "ping", "id": "\u20ac\U0001f40d"}, ensure_ascii=False).encode()
    async with local_gateway() as gateway:
        client = await gateway.connect()
        for cut in range(len(message)):
            for part in fragments(message, cut):
                await client.send(part)
            assert (await client.message())["id"] == "\u20ac\U0001f40d"


@on_loop
async def test_a_command_of_the_greatest_size_whole_and_in_most_fragments() -> None:
    message = SUBSCRIBE.ljust(COMMAND_BYTES_MAX)
    cuts = [number * 1000 for number in range(1, FRAGMENTS_MAX)]
    async with local_gateway() as gateway:
        client = await gateway.connect()
        await client.send(frame(TEXT, message))
        await answered(client)
        parts = fragments(message, *cuts)
        assert len(parts) == FRAGMENTS_MAX
        for part in parts:
            await client.send(part)
        await answered(client)
