"""wsgate.delta.v1 over real sockets: what is on them, and slow readers who keep the thread."""

from __future__ import annotations

import asyncio
import json
import random
import zlib
from collections import Counter

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests.support.client import UPGRADE, Client, request
from tests.support.frames import BINARY, CLOSE, TEXT, frame
from tests.support.gateway import LocalGateway, local_gateway
from tests.support.loop import on_loop
from wsgate.delta import Decoder, Form

EVENT = "token.abc.comment"
STATE = "token.abc.update"
STATES = [STATE, "token.xyz.update", "global.trending"]


async def speaker(
    gateway: LocalGateway, *channels: str, receive_buffer: int | None = None
) -> Client:
    """One who agreed on it, and is handed everything as with wsgate.v1."""
    client = await gateway.dial(receive_buffer=receive_buffer)
    offer = {"Sec-WebSocket-Protocol": "wsgate.delta.v1"}
    client.speak_delta()
    answer = await client.ask(request(headers=UPGRADE | offer))
    assert answer.headers["sec-websocket-protocol"] == "wsgate.delta.v1"
    await client.subscribe(*channels)
    return client


def data(number: int, chance: random.Random) -> dict[str, object]:
    """A whole object: most of it stays, and some of it cannot be made smaller."""
    return {
        "number": number,
        "name": "The Name Of It",
        "description": "what is said of it, again and again, and never changes at all",
        "noise": chance.randbytes(150).hex(),
    }


@on_loop
async def test_an_independent_client_decodes_what_comes() -> None:
    chance = random.Random(1)
    sent = [data(number, chance) for number in range(40)]
    forms: Counter[Form] = Counter()
    async with (
        local_gateway() as gateway,
        connect(
            f"ws://127.0.0.1:{gateway.port}",
            subprotocols=[Subprotocol("wsgate.delta.v1"), Subprotocol("wsgate.v1")],
            proxy=None,
        ) as client,
    ):
        assert client.subprotocol == "wsgate.delta.v1"
        await client.send(json.dumps({"type": "subscribe", "channels": [EVENT]}))
        assert json.loads(await client.recv())["type"] == "subscribed"
        decoder, got = Decoder(), []
        for one in sent:
            gateway.publish(EVENT, one)
        while len(got) < len(sent):
            message = await client.recv()
            assert isinstance(message, bytes), "publications are binary"
            forms[Form(message[0] & 7)] += 1
            found = decoder.decode(message)
            if found is not None:
                assert (found.type, found.channel) == ("token_comment", EVENT)
                assert found.seq == found.prev + 1 == len(got) + 1
                got.append(json.loads(found.data))
        assert got == sent
        assert forms[Form.KEYFRAME] == 1
        assert set(forms) == {Form.KEYFRAME, Form.SAME, Form.DELTA, Form.KEPT}


@on_loop
async def test_both_side_by_side_get_the_same() -> None:
    chance = random.Random(2)
    async with local_gateway() as gateway:
        plain = await gateway.subscriber(EVENT, STATE)
        speaking = await speaker(gateway, EVENT, STATE)
        for number in range(20):
            gateway.publish(EVENT, data(number, chance))
            gateway.publish(STATE, data(number, chance))
            await gateway.until_flushed()
        messages = await plain.settle()
        assert len(messages) == 40
        assert await speaking.settle() == messages
        totals = gateway.totals
        assert totals["frames_encoded"] == totals["frames_delta"] == 40
        assert totals["keyframes_sent"] == 2


@on_loop
async def test_the_keyframe_comes_in_the_write_of_its_publication() -> None:
    async with local_gateway() as gateway:
        client = await speaker(gateway, EVENT)
        writes = gateway.totals["writes"]
        gateway.publish(EVENT, {"some": "thing"})
        await gateway.until_flushed()
        assert gateway.totals["writes"] == writes + 1
        assert (await client.message())["data"] == {"some": "thing"}


@on_loop
async def test_a_binary_message_from_a_client_is_as_wrong_as_ever() -> None:
    async with local_gateway() as gateway:
        client = await speaker(gateway, EVENT)
        await client.send(frame(BINARY, b"\x05\x01\x00\x00"))
        _, close = await client.until_close()
        assert close.close_code == 1003


@on_loop
async def test_a_compressed_message_from_a_client_was_not_agreed_on() -> None:
    async with local_gateway() as gateway:
        client = await speaker(gateway, EVENT)
        await client.send(frame(TEXT, zlib.compress(b'{"type":"ping"}'), reserved=4))
        _, close = await client.until_close()
        assert close.close_code == 1002


@pytest.mark.parametrize("size", [1, 7, 100, 1000])
@on_loop
async def test_whatever_is_cut_the_thread_is_not_lost(size: int) -> None:
    """Publications made while a slow client sips: all events come, state ends on the latest."""
    chance = random.Random(size)
    rounds = 60 if size < 10 else 300
    async with local_gateway() as gateway:
        client = await speaker(gateway, EVENT, *STATES, receive_buffer=2048)
        other = await speaker(gateway, EVENT, *STATES)
        received = []
        for number in range(rounds):
            for channel in (EVENT, *STATES):
                gateway.publish(channel, data(number, chance))
            await asyncio.sleep(0)
            if gateway.core.delivery.backlog()["blocked_connections"]:
                received += client.feed(await client.read(size))
            if number % 10 == 0:
                await other.settle()
        events: list[int] = []
        latest: dict[str, int] = {}
        while True:
            for one in received:
                assert one.opcode != CLOSE
                message = one.message
                number = message["data"]["number"]
                if message["channel"] == EVENT:
                    events.append(number)
                else:
                    assert number > latest.get(message["channel"], -1)
                    latest[message["channel"]] = number
            if len(events) == rounds and [*latest.values()] == [rounds - 1] * len(STATES):
                break
            received = client.feed(await client.read(max(size, 100)))
        assert events == list(range(rounds))
        assert gateway.totals["blocked"] > 0, "nothing was ever cut: this proved nothing"
        assert gateway.totals["keyframes_renewed"] > 4
        assert gateway.totals["conflated_owed"] > 0 or size < 10
