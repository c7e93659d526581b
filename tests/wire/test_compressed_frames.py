"""What clients may compress, and that it costs nobody more than its limit."""

from __future__ import annotations

import json
import random
import zlib

import pytest

from tests.support.client import Client
from tests.support.deflate import RSV1, RSV2, compressed, connect_deflating, deflated
from tests.support.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close_frame,
    command,
    frame,
)
from tests.support.gateway import local_gateway
from tests.support.loop import on_loop

COMMAND_BYTES_MAX = 65_536
PING_COMMAND = json.dumps({"type": "ping", "id": "\u20ac"}, ensure_ascii=False).encode()


async def answered(client: Client) -> None:
    """PING_COMMAND arrived, once and whole."""
    assert await client.message() == {"type": "pong", "id": "\u20ac"}
    assert await client.settle() == []


@on_loop
async def test_compressed_and_plain_commands_take_turns() -> None:
    async with local_gateway(ws_deflate=True) as gateway:
        client = await connect_deflating(gateway)
        for _ in range(3):
            await client.send(compressed(PING_COMMAND))
            await answered(client)
            await client.send(frame(TEXT, PING_COMMAND))
            await answered(client)


@on_loop
async def test_every_window_and_level() -> None:
    async with local_gateway(ws_deflate=True) as gateway:
        client = await connect_deflating(gateway)
        for window_bits in range(9, 16):
            for level in (0, 1, 9):
                payload = deflated(PING_COMMAND, level=level, window_bits=window_bits)
                await client.send(frame(TEXT, payload, reserved=RSV1))
                await answered(client)


@on_loop
async def test_a_compressed_message_may_be_fragmented_at_every_byte() -> None:
    payload = deflated(PING_COMMAND)
    async with local_gateway(ws_deflate=True) as gateway:
        client = await connect_deflating(gateway)
        for cut in range(len(payload) + 1):
            await client.send(frame(TEXT, payload[:cut], fin=False, reserved=RSV1))
            await client.send(frame(PING))
            assert (await client.receive()).opcode == PONG
            await client.send(frame(CONTINUATION, payload[cut:]))
            await answered(client)


@on_loop
async def test_a_fragmented_plain_message_after_a_compressed_one_is_plain() -> None:
    payload = deflated(PING_COMMAND)
    async with local_gateway(ws_deflate=True) as gateway:
        client = await connect_deflating(gateway)
        await client.send(frame(TEXT, payload[:3], fin=False, reserved=RSV1))
        await client.send(frame(CONTINUATION, payload[3:]))
        await answered(client)
        await client.send(frame(TEXT, PING_COMMAND[:3], fin=False))
        await client.send(frame(CONTINUATION, PING_COMMAND[3:]))
        await answered(client)


@on_loop
async def test_nothing_is_remembered_from_one_message_to_the_next() -> None:
    """Two commands of one compressor: the second refers to the first, which is agreed not to be."""
    stream = zlib.compressobj(wbits=-15)
    first = stream.compress(PING_COMMAND) + stream.flush(zlib.Z_SYNC_FLUSH)
    second = stream.compress(PING_COMMAND) + stream.flush(zlib.Z_SYNC_FLUSH)
    async with local_gateway(ws_deflate=True) as gateway:
        client = await connect_deflating(gateway)
        await client.send(frame(TEXT, first[:-4], reserved=RSV1))
        await answered(client)
        await client.send(frame(TEXT, second[:-4], reserved=RSV1))
        _, close = await client.until_close()
        assert close.close_code == 1007


@pytest.mark.parametrize("payload", [b"", b"\x00", deflated(b"")])
@on_loop
async def test_an_empty_message_is_no_command(payload: bytes) -> None:
    async with local_gateway(ws_deflate=True) as gateway:
        client = await connect_deflating(gateway)
        await client.send(frame(TEXT, payload, reserved=RSV1))
        assert (await client.message())["code"] == "bad_json"


@on_loop
async def test_a_command_of_the_greatest_size() -> None:
    async with local_gateway(ws_deflate=True) as gateway:
        client = await connect_deflating(gateway)
        await client.send(compressed(PING_COMMAND.ljust(COMMAND_BYTES_MAX)))
        await answered(client)
        await client.send(compressed(PING_COMMAND.ljust(COMMAND_BYTES_MAX + 1)))
        _, close = await client.until_close()
        assert close.close_code == 1009


PAYLOAD = deflated(PING_COMMAND)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(frame(PING, b"\x00", reserved=RSV1), 1002, id="PING"),
        pytest.param(frame(PONG, b"\x00", reserved=RSV1), 1002, id="PONG"),
        pytest.param(frame(CLOSE, b"", reserved=RSV1), 1002, id="CLOSE"),
        pytest.param(frame(TEXT, PAYLOAD, reserved=RSV1 | RSV2), 1002, id="another bit besides"),
        pytest.param(
            frame(CONTINUATION, PAYLOAD, reserved=RSV1), 1002, id="continuation of nothing"
        ),
        pytest.param(
            frame(TEXT, PAYLOAD[:3], fin=False, reserved=RSV1)
            + frame(CONTINUATION, PAYLOAD[3:], reserved=RSV1),
            1002,
            id="each fragment",
        ),
        pytest.param(
            frame(TEXT, b"", fin=False) + frame(CONTINUATION, PAYLOAD, reserved=RSV1),
            1002,
            id="the second fragment only",
        ),
        pytest.param(compressed(b"{}", BINARY), 1003, id="binary"),
        pytest.param(compressed(b'"\xff"'), 1007, id="no UTF-8 inside"),
        pytest.param(compressed(b"\xed\xa0\x80"), 1007, id="a surrogate inside"),
        pytest.param(frame(TEXT, b"\xff" * 10, reserved=RSV1), 1007, id="no deflate"),
        pytest.param(frame(TEXT, PAYLOAD[:-2], reserved=RSV1), 1007, id="cut"),
        pytest.param(frame(TEXT, PAYLOAD + b"\xff", reserved=RSV1), 1007, id="garbage behind"),
        pytest.param(
            frame(TEXT, deflated(bytes(50 << 20), level=9), reserved=RSV1), 1009, id="bomb"
        ),
        pytest.param(
            frame(TEXT, b"\x03\x00" * 30_000, reserved=RSV1), 1007, id="many final blocks"
        ),
    ],
)
@on_loop
async def test_what_may_not_be_compressed_or_not_so(data: bytes, code: int) -> None:
    async with local_gateway(ws_deflate=True) as gateway:
        client = await connect_deflating(gateway)
        await client.send(data + command("ping"))
        received, close = await client.until_close()
        assert received == []
        assert close.close_code == code


@on_loop
async def test_a_compressed_message_of_who_did_not_agree() -> None:
    for deflate in (False, True):
        async with local_gateway(ws_deflate=deflate) as gateway:
            client = await gateway.connect()
            await client.send(compressed(PING_COMMAND))
            _, close = await client.until_close()
            assert close.close_code == 1002


@on_loop
async def test_compressed_noise_never_harms_anybody_else() -> None:
    noise = random.Random(1)
    async with local_gateway(ws_deflate=True) as gateway:
        witness = await gateway.connect()
        for _ in range(100):
            client = await connect_deflating(gateway)
            payload = bytearray(deflated(PING_COMMAND * 10))
            payload[noise.randrange(len(payload))] ^= 1 << noise.randrange(8)
            await client.send(frame(TEXT, bytes(payload), reserved=RSV1) + close_frame(1000))
            received = await client.until_end()
            assert received[-1].close_code in (1000, 1007, 1009)
            await witness.send(command("ping"))
            assert await witness.message() == {"type": "pong"}
