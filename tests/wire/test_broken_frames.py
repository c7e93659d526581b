"""What clients may not do to frames and messages: which code they are told, and no more."""

from __future__ import annotations

import asyncio
import json
import random
import tracemalloc
from contextlib import suppress

import pytest

from tests.support.client import request
from tests.support.feed import until
from tests.support.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    close_frame,
    command,
    fragments,
    frame,
)
from tests.support.gateway import local_gateway
from tests.support.loop import on_loop

EVENT = "token.abc.comment"
COMMAND_BYTES_MAX = 65_536
FRAGMENTS_MAX = 64
SUBSCRIBE = json.dumps({"type": "subscribe", "channels": [EVENT], "id": "s"}).encode()
PICOWS_CLOSES_AFTER_S = 0.01

BROKEN = [
    pytest.param(frame(TEXT, b"{}", masked=False), 1002, id="unmasked"),
    pytest.param(frame(TEXT, b"", masked=False), 1002, id="unmasked and empty"),
    *(
        pytest.param(frame(TEXT, SUBSCRIBE, reserved=bits), 1002, id=f"reserved bits {bits:03b}")
        for bits in range(1, 8)
    ),
    pytest.param(frame(PING, b"", reserved=4), 1002, id="reserved bit of a PING"),
    *(
        pytest.param(frame(opcode, b""), 1002, id=f"opcode {opcode:#x}")
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    ),
    pytest.param(frame(PING, b"", fin=False), 1002, id="fragmented PING"),
    pytest.param(frame(CLOSE, b"", fin=False), 1002, id="fragmented CLOSE"),
    pytest.param(frame(PING, b"x" * 126), 1002, id="long PING"),
    pytest.param(frame(CLOSE, b"\x03\xe8" + b"x" * 124), 1002, id="long CLOSE"),
    pytest.param(frame(TEXT, b"{}", length_bytes=2), 1002, id="2 bytes of length too many"),
    pytest.param(frame(TEXT, b"{}", length_bytes=8), 1002, id="8 bytes of length too many"),
    pytest.param(b"\x81\xff" + b"\xff" * 8 + b"mask", 1002, id="length of 2^64 - 1"),
    pytest.param(b"\x81\xff" + (1 << 63).to_bytes(8, "big"), 1002, id="length of 2^63"),
    pytest.param(b"\x81\xff" + (1 << 62).to_bytes(8, "big"), 1009, id="length of 2^62"),
    pytest.param(frame(TEXT, b" " * (COMMAND_BYTES_MAX + 1)), 1009, id="a byte too long"),
    pytest.param(frame(CONTINUATION, b"{}"), 1002, id="continuation of nothing"),
    pytest.param(
        frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"), 1002, id="message within a message"
    ),
    pytest.param(
        frame(TEXT, b"{", fin=False) + frame(BINARY, b"}"), 1002, id="binary within a message"
    ),
    pytest.param(
        b"".join(fragments(SUBSCRIBE.ljust(COMMAND_BYTES_MAX + 1), 1000)), 1009, id="sum too long"
    ),
    pytest.param(
        frame(TEXT, b" ", fin=False) + frame(CONTINUATION, b" ", fin=False) * FRAGMENTS_MAX,
        1009,
        id="endless fragments",
    ),
    pytest.param(
        frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"", fin=False) * FRAGMENTS_MAX,
        1009,
        id="endless empty fragments",
    ),
    pytest.param(frame(BINARY, b"{}"), 1003, id="binary"),
    pytest.param(frame(BINARY, b"{", fin=False), 1003, id="fragmented binary"),
    pytest.param(frame(TEXT, b'{"type":"\xff"}'), 1007, id="no UTF-8"),
    pytest.param(frame(TEXT, b"\xed\xa0\x80"), 1007, id="a surrogate"),
    pytest.param(frame(TEXT, b"\xf4\x90\x80\x80"), 1007, id="past U+10FFFF"),
    pytest.param(frame(TEXT, b"\xc0\xaf"), 1007, id="overlong UTF-8"),
    pytest.param(b"".join(fragments(b'"\xe2\x82"', 2)), 1007, id="half a character in fragments"),
    pytest.param(frame(CLOSE, b"\x03"), 1002, id="CLOSE with half a code"),
    pytest.param(close_frame(1000, b"\xff"), 1007, id="CLOSE whose reason is not UTF-8"),
    *(
        pytest.param(close_frame(code), 1002, id=f"CLOSE with code {code}")
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)
    ),
]


REASONS = {
    1002: "protocol_error",
    1003: "unsupported_data",
    1007: "bad_payload",
    1009: "message_too_big",
}


@pytest.mark.parametrize(("data", "code"), BROKEN)
@on_loop
async def test_whoever_breaks_the_protocol_is_told_and_nothing_follows(
    data: bytes, code: int
) -> None:
    """Publications flow all the time, and go on for others when the client has heard."""
    async with local_gateway() as gateway:
        client = await gateway.subscriber(EVENT)
        witness = await gateway.subscriber(EVENT)
        await client.send(data)
        ending = asyncio.create_task(client.until_close())
        published = 0
        while not ending.done():
            gateway.publish(EVENT, published)
            assert (await witness.message())["data"] == published
            published += 1
        received, close = await ending
        assert close.close_code == code
        assert close.close_reason == REASONS[code]
        numbers = [one.message["data"] for one in received]
        assert numbers == list(range(len(numbers)))
        gateway.publish(EVENT, published)
        assert (await witness.message())["data"] == published > len(numbers) - 1
        client.close()
        await until(lambda: len(gateway.hub) == 1)
        assert gateway.hub.closed_by_reason == {f"failed_{code}": 1}


FOLLOW_UPS = [
    pytest.param(command("ping", id=1), id="command"),
    pytest.param(frame(PING), id="PING"),
    pytest.param(frame(TEXT, b"{}", masked=False), id="unmasked"),
    pytest.param(frame(BINARY, b""), id="binary"),
    pytest.param(close_frame(1000), id="CLOSE"),
    pytest.param(close_frame(1000) * 2, id="CLOSE twice"),
    pytest.param(frame(15), id="bad opcode"),
    pytest.param(b"\x81\xff" + b"\xff" * 8, id="bad length"),
]


@pytest.mark.parametrize("apart", [False, True], ids=["in one packet", "apart"])
@pytest.mark.parametrize("second", FOLLOW_UPS)
@pytest.mark.parametrize(
    ("first", "code"),
    [
        pytest.param(frame(TEXT, b"{}", masked=False), 1002, id="unmasked"),
        pytest.param(frame(BINARY), 1003, id="binary"),
        pytest.param(close_frame(1001), 1001, id="CLOSE"),
    ],
)
@on_loop
async def test_the_first_offence_counts_and_close_is_sent_once(
    first: bytes, code: int, second: bytes, apart: bool
) -> None:
    async with local_gateway(limits={"close_timeout_s": 0.1}) as gateway:
        client = await gateway.subscriber(EVENT)
        [connection] = gateway.connections
        if apart:
            await client.send(first)
            received = [await client.receive()]
            with suppress(OSError):  # gone already
                await client.send(second)
        else:
            await client.send(first + second)
            received = []
            await until(lambda: connection.end_reason)
        gateway.publish(EVENT, "too late")
        received += await client.until_end()
        assert [one.opcode for one in received] == [CLOSE]
        assert received[0].close_code == code


@on_loop
async def test_what_cannot_be_mended_is_told_before_the_message_is_whole() -> None:
    async with local_gateway() as gateway:
        for beginning in (b'"\xe2\x82", ', b"\xed\xa0", b"\xf4\x90", b"\xff"):
            client = await gateway.connect()
            await client.send(frame(TEXT, b"[\xe2\x82", fin=False))
            await client.send(frame(CONTINUATION, b"\xac, " + beginning, fin=False))
            _, close = await client.until_close()
            assert close.close_code == 1007


@on_loop
async def test_a_client_that_never_closes_its_half_is_cut_off() -> None:
    async with local_gateway(limits={"close_timeout_s": 0.1}) as gateway:
        client = await gateway.connect()
        await client.send(frame(BINARY))
        _, close = await client.until_close()
        assert close.close_code == 1003
        assert len(gateway.hub) == 1
        await gateway.until_empty()
        assert gateway.hub.closed_by_reason == {"failed_1003": 1}


@on_loop
async def test_a_client_that_fails_after_our_close_is_not_told_twice() -> None:
    async with local_gateway() as gateway:
        client = await gateway.connect()
        stop = gateway.stop()
        assert (await client.receive()).close_code == 1012
        await client.send(frame(BINARY))
        assert await client.until_end() == []
        client.close()
        await stop
        assert gateway.hub.closed_by_reason == {"service_restart": 1}


@pytest.mark.parametrize(
    ("first", "code"),
    [
        pytest.param(frame(15), 1002, id="picows fails"),
        pytest.param(frame(BINARY), 1003, id="we fail"),
    ],
)
@on_loop
async def test_what_follows_an_offence_is_read_and_forgotten(first: bytes, code: int) -> None:
    """It costs no memory, and closing does not reset the connection."""
    noise = bytes(1 << 20)
    async with local_gateway() as gateway:
        client = await gateway.connect()
        await client.send(first)
        tracemalloc.start()
        try:
            for _ in range(8):
                await client.send(noise)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 1 << 20
        _, close = await client.until_close()
        assert close.close_code == code
        assert not client.reset
        client.close()
        await gateway.until_empty()


@on_loop
async def test_what_follows_a_clients_close_is_forgotten_too() -> None:
    async with local_gateway() as gateway:
        client = await gateway.subscriber(EVENT, receive_buffer=4096)
        while not gateway.core.delivery.backlog()["blocked_connections"]:
            gateway.publish(EVENT, "x" * 1000)
            await asyncio.sleep(0)
        await client.send(close_frame(1000))  # it cannot be answered yet
        tracemalloc.start()
        try:
            for _ in range(8):
                await client.send(frame(15) + bytes(1 << 20))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 3 << 20  # the test's own frames
        _, close = await client.until_close()
        assert close.close_code == 1000


@on_loop
async def test_a_slow_client_that_picows_fails_on_is_told_in_the_end() -> None:
    async with local_gateway() as gateway:
        client = await gateway.subscriber(EVENT, receive_buffer=4096)
        published = 0
        while not gateway.core.delivery.backlog()["blocked_connections"]:
            gateway.publish(EVENT, "x" * 1000)
            published += 1
            await asyncio.sleep(0)
        (connection,) = gateway.connections
        await client.send(frame(15))
        await until(lambda: connection.end_reason is not None, "the offence to be seen")
        await asyncio.sleep(
            PICOWS_CLOSES_AFTER_S
        )  # due later than its timer, however late both are
        received, close = await client.until_close()
        assert len(received) == published
        assert close.close_code == 1002


@on_loop
async def test_good_frames_before_a_bad_one() -> None:
    """Whether they are still answered is open; CLOSE comes last in any case, and once."""
    async with local_gateway() as gateway:
        for good in range(4):
            client = await gateway.subscriber(EVENT)
            pings = b"".join(command("ping", id=number) for number in range(good))
            await client.send(pings + frame(TEXT, b"", masked=False))
            received, close = await client.until_close()
            assert close.close_code == 1002
            assert [one.message["id"] for one in received] == list(range(len(received)))


@on_loop
async def test_a_broken_frame_in_the_packet_of_the_request() -> None:
    async with local_gateway() as gateway:
        client = await gateway.dial()
        await client.send(request() + frame(TEXT, b"", masked=False))
        assert (await client.answer()).status == 101
        received, close = await client.until_close()
        assert received == [] and close.close_code == 1002


@on_loop
async def test_noise_never_harms_anybody_else() -> None:
    noise = random.Random(1)
    async with local_gateway(limits={"close_timeout_s": 0.05}) as gateway:
        witness = await gateway.subscriber(EVENT)
        for number in range(100):
            client = await gateway.subscriber(EVENT)
            gateway.publish(EVENT, number)
            await client.send(noise.randbytes(noise.randrange(1, 2000)))
            client.close()
            assert (await witness.message())["data"] == number
        assert await witness.settle() == []
