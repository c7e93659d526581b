"""Commands of clients that send many, while others want to be heard, on real sockets."""

from __future__ import annotations

import asyncio
import json
from functools import partial

import pytest

from tests.support.client import request
from tests.support.feed import until
from tests.support.frames import CLOSE, TEXT, close_frame, command, frame
from tests.support.gateway import local_gateway
from tests.support.loop import on_loop
from wsgate import turns
from wsgate.turns import Connection


@pytest.fixture
def one_command_each_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "ROUND_S", 0.0)


def pings(first: int, count: int) -> bytes:
    return b"".join(command("ping", id=number) for number in range(first, first + count))


@on_loop
async def test_each_is_answered_once_and_in_order(one_command_each_round: None) -> None:
    async with local_gateway() as gateway:
        clients = [await gateway.connect() for _ in range(5)]
        for first in range(0, 300, 100):
            await asyncio.gather(*(client.send(pings(first, 100)) for client in clients))
        for client in clients:
            replies = [await client.message() for _ in range(300)]
            assert [reply["id"] for reply in replies] == list(range(300))
        assert gateway.hub.turns.put_off > 1000
        assert len(gateway.hub.turns) == 0


@on_loop
async def test_others_are_served_in_between(one_command_each_round: None) -> None:
    async with local_gateway() as gateway:
        reader = await gateway.subscriber("token.abc.comment")
        await gateway.connect()
        flooder = gateway.connections[-1]
        for number in range(1000):  # all there before the loop goes on
            gateway.hub.received(flooder, b'{"type":"ping","id":%d}' % number)
        gateway.publish("token.abc.comment", "news")
        assert (await reader.message())["data"] == "news"
        assert len(gateway.hub.turns) == 1, "the flood was over before"


@on_loop
async def test_close_comes_after_what_was_asked_before_it(one_command_each_round: None) -> None:
    async with local_gateway() as gateway:
        client = await gateway.connect()
        await client.send(pings(0, 50) + close_frame(1000))
        frames = await client.until_end()
        ids = [json.loads(one.payload)["id"] for one in frames if one.opcode == TEXT]
        assert ids == list(range(len(ids)))
        assert frames[-1].opcode == CLOSE


@on_loop
async def test_an_offence_comes_after_what_was_asked_before_it(
    one_command_each_round: None,
) -> None:
    async with local_gateway() as gateway:
        client = await gateway.connect()
        await client.send(pings(0, 50) + frame(0x5, b""))
        frames, close = await client.until_close()
        ids = [json.loads(one.payload)["id"] for one in frames if one.opcode == TEXT]
        assert ids == list(range(50))
        assert close.close_code == 1002


@on_loop
async def test_who_leaves_in_the_middle_is_forgotten(one_command_each_round: None) -> None:
    async with local_gateway() as gateway:
        client = await gateway.connect()
        await client.send(pings(0, 300))
        client.cut()
        await gateway.until_empty()
        assert len(gateway.hub.turns) == 0


@on_loop
async def test_what_breaks_while_it_waits_ends_its_connection(
    one_command_each_round: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with local_gateway() as gateway:
        client = await gateway.connect()

        def break_down(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(gateway.hub, "_unsubscribe", break_down)
        await client.send(pings(0, 2) + command("unsubscribe", channels=["token.abc.comment"]))
        _, close = await client.until_close()
        assert close.close_code == 1011


@on_loop
async def test_what_waited_for_a_token_is_older_than_what_waits_for_its_turn(
    one_command_each_round: None,
) -> None:
    async with local_gateway() as gateway:
        client = await gateway.connect()
        (connection,) = gateway.connections
        ping = [json.dumps({"type": "ping", "id": number}).encode() for number in range(4)]
        gateway.hub.received(connection, ping[3])
        assert len(gateway.hub.turns) == 1
        gateway.hub.go_on(connection, ping[:3])
        assert [(await client.message())["id"] for _ in range(4)] == [0, 1, 2, 3]


@on_loop
async def test_a_proxys_header_waits_and_so_does_what_came_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "ROUND_S", -1.0)  # no time is left in any round
    async with local_gateway(ws_trusted_proxies=["127.0.0.1"], ws_proxy_protocol="on") as gateway:
        client = await gateway.dial()
        header = b"PROXY TCP4 192.0.2.7 203.0.113.1 4711 443\r\n"
        assert (await client.ask(header + request() + pings(0, 100))).status == 101
        assert [(await client.message())["id"] for _ in range(100)] == list(range(100))
        assert gateway.connections[0].peer.startswith("192.0.2.7")
        assert len(gateway.hub.turns) == 0


# A command of many names


MANY = [f"token.{number}.update" for number in range(950)]


@on_loop
async def test_many_names_take_turns_and_effect_at_once(one_command_each_round: None) -> None:
    """No value comes before the reply, though some of its channels are looked at long before."""
    async with local_gateway() as gateway:
        client = await gateway.connect()
        other = await gateway.connect()
        subscriber, asker = gateway.connections
        core, turns_ = gateway.core, gateway.hub.turns
        gateway.hub.received(
            subscriber, json.dumps({"type": "subscribe", "channels": MANY}).encode()
        )
        gateway.hub.received(subscriber, b'{"type":"ping","id":1}')
        gateway.hub.received(asker, b'{"type":"ping","id":2}')
        assert len(turns_) == 2 and core.subscription_count(subscriber.handle) == 0
        gateway.publish(MANY[0], "early")
        assert (await other.message())["id"] == 2
        assert core.subscription_count(subscriber.handle) == 0, "done before others had a turn"
        reply = await client.message()
        assert reply["type"] == "subscribed" and list(reply["channels"]) == MANY
        kinds = [(await client.message())["type"] for _ in range(2)]
        assert sorted(kinds) == ["pong", "token_update"]
        assert core.subscription_count(subscriber.handle) == len(MANY)


@on_loop
async def test_who_leaves_in_the_middle_of_many_names_is_forgotten(
    one_command_each_round: None,
) -> None:
    async with local_gateway() as gateway:
        client = await gateway.connect()
        (connection,) = gateway.connections
        gateway.hub.received(
            connection, json.dumps({"type": "subscribe", "channels": MANY}).encode()
        )
        client.cut()
        await gateway.until_empty()
        assert len(gateway.hub.turns) == 0


@on_loop
async def test_many_names_are_all_there_before_the_offence_that_follows(
    one_command_each_round: None,
) -> None:
    async with local_gateway() as gateway:
        client = await gateway.connect()
        await client.send(command("subscribe", channels=MANY) + frame(0x5, b""))
        (reply,), close = await client.until_close()
        assert list(json.loads(reply.payload)["channels"]) == MANY
        assert close.close_code == 1002


@on_loop
async def test_room_is_counted_over_all_portions(one_command_each_round: None) -> None:
    async with local_gateway() as gateway:
        client = await gateway.subscriber(*MANY[:200])
        more = [f"global.{number}" for number in range(900)]
        reply = await client.subscribe(*MANY[100:200], *more)
        assert len(reply["channels"]) == 900 and len(reply["errors"]) == 100
        assert set(reply["errors"]) == set(more[-100:])


# Who was cut off sends on


@on_loop
async def test_what_is_read_to_be_forgotten_rests_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "ROUND_S", -1.0)
    async with local_gateway() as gateway:
        client = await gateway.connect()
        await client.send(frame(0x5, b""))
        _, close = await client.until_close()
        assert close.close_code == 1002
        rested = []
        rest = gateway.hub.turns.rest

        def note(who: Connection) -> None:
            rest(who)
            rested.append(gateway.hub.turns.crowded)

        monkeypatch.setattr(gateway.hub.turns, "rest", note)
        for number in range(3):  # one read after the other
            await client.send(pings(0, 10))
            await until(partial(rested.__getitem__, slice(number, None)), "it to be read")
        assert rested == [True] * 3, "nobody rested"
        client.close()
        await gateway.until_empty()
