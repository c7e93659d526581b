"""docs/protocol.md from a client's seat; the client is not ours."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.conversation import browser
from tests.support.feed import until
from tests.support.gateway import LateSource, local_gateway
from tests.support.loop import on_loop

STATE = "token.abc.update"
EVENT = "token.abc.comment"


def seqs(messages: list[Any], channel: str) -> list[int]:
    return [one["seq"] for one in messages if one.get("channel") == channel]


# Subscribing


@on_loop
async def test_the_bytes_of_a_session() -> None:
    async with local_gateway() as gateway, browser(gateway.port) as client:
        epoch = gateway.core.channels.epoch_names[0]
        assert gateway.source.publish(STATE, b'{"price" : 0.0120, "a":[1 ,2]}')
        await client.send_text(
            '{"id":"first","channels":["global.trending","token.abc.update","token.*.comment",'
            '"token.>"],"type":"subscribe"}'
        )
        assert await client.receive_text() == (
            '{"type":"subscribed","id":"first","channels":{"global.trending":{"epoch":"%s","seq":0}'
            ',"token.abc.update":{"epoch":"%s","seq":1},"token.*.comment":{}},"errors":{"token.>":'
            '{"code":"pattern_not_allowed","message":"no permitted pattern covers this one whole"'
            "}}}" % (epoch, epoch)
        )
        assert await client.receive_text() == (
            '{"type":"token_update","channel":"token.abc.update","seq":1,"prev":0,'
            '"data":{"price" : 0.0120, "a":[1 ,2]}}'
        )
        gateway.publish("token.xyz.comment", {"text": "hell\u00f6"})
        assert await client.receive_text() == (
            '{"type":"token_comment","channel":"token.xyz.comment","seq":1,"prev":0,'
            '"data":{"text": "hell\\u00f6"}}'
        )
        await client.send_text('{"type":"ping"}')
        assert await client.receive_text() == '{"type":"pong"}'
        await client.send_text('{"type":"unsubscribe","channels":["token.abc.update"],"id":2}')
        assert await client.receive_text() == (
            '{"type":"unsubscribed","id":2,"channels":["token.abc.update"]}'
        )
        await client.send_text('{"type":"pause","id":5}')
        assert await client.receive_text() == ('{"type":"paused","id":5}')
        await client.send_text("{")
        assert await client.receive_text() == (
            '{"type":"error","code":"bad_json","message":"the message is not JSON"}'
        )


@pytest.mark.parametrize("payload", ["1", '"text"', "[]", "null", " { } ", '{"a":"\u20ac"}'])
@on_loop
async def test_any_json_is_passed_on_untouched(payload: str) -> None:
    async with local_gateway() as gateway, browser(gateway.port) as client:
        await client.subscribe(EVENT)
        assert gateway.source.publish(EVENT, payload.encode())
        assert (await client.receive_text()).endswith(f',"data":{payload}}}')


@pytest.mark.parametrize("size", [1, 60, 125, 126, 127, 65535, 65536, 200_000])
@on_loop
async def test_payloads_of_any_size(size: int) -> None:
    async with local_gateway() as gateway, browser(gateway.port) as client:
        await client.subscribe(EVENT, STATE)
        gateway.publish(EVENT, "x" * size)
        gateway.publish(STATE, "y" * size)
        assert (await client.message())["data"] == "x" * size
        assert (await client.message())["data"] == "y" * size


@on_loop
async def test_what_is_not_json_is_not_delivered() -> None:
    async with local_gateway() as gateway, browser(gateway.port) as client:
        await client.subscribe(EVENT, STATE)
        for payload in (b"", b"{", b"\xff", b"NaN", b"1 2", b"x" * 300_000):
            assert not gateway.source.publish(EVENT, payload)
            assert not gateway.source.publish(STATE, payload)
        gateway.publish(EVENT, "good")
        assert [one["data"] for one in await client.settle()] == ["good"]


@on_loop
async def test_events_come_in_order_and_without_a_hole() -> None:
    async with local_gateway() as gateway, browser(gateway.port) as client:
        reply = await client.subscribe(EVENT)
        assert reply["channels"][EVENT] == {"epoch": gateway.core.channels.epoch_names[0], "seq": 0}
        for number in range(500):
            gateway.publish(EVENT, number)
        received = await client.messages(500)
        assert [one["data"] for one in received] == list(range(500))
        assert [one["seq"] for one in received] == list(range(1, 501))
        assert [one["prev"] for one in received] == list(range(500))
        assert {one["type"] for one in received} == {"token_comment"}


@on_loop
async def test_an_event_channel_brings_nothing_on_subscribing() -> None:
    async with local_gateway() as gateway, browser(gateway.port) as client:
        async with browser(gateway.port) as earlier:
            await earlier.subscribe(EVENT)
            gateway.publish(EVENT, "before")
            await earlier.message()
            reply = await client.subscribe(EVENT)
        assert reply["channels"][EVENT]["seq"] == 1
        gateway.publish(EVENT, "after")
        [only] = await client.settle()
        assert (only["seq"], only["prev"], only["data"]) == (2, 1, "after")


@on_loop
async def test_a_state_channel_brings_its_last_value_right_after_the_reply() -> None:
    async with local_gateway() as gateway, browser(gateway.port) as client:
        for price in (1, 2, 3):
            gateway.publish(STATE, price)
        reply = await client.subscribe(EVENT, STATE, "token.new.update")
        last = await client.message()
        assert last["data"] == 3
        assert last["seq"] == reply["channels"][STATE]["seq"] == 3
        assert await client.settle() == []


@on_loop
async def test_a_pattern_brings_the_last_values_of_all_it_matches() -> None:
    async with local_gateway() as gateway, browser(gateway.port) as client:
        for number in range(300):
            gateway.publish(f"token.t{number}.update", number)
        gateway.publish("global.trending", "elsewhere")
        reply = await client.subscribe("token.*.update")
        assert reply["channels"] == {"token.*.update": {}}
        assert sorted(one["data"] for one in await client.messages(300)) == list(range(300))
        gateway.publish("token.later.update", "new")
        assert (await client.message())["data"] == "new"
        assert await client.settle() == []


@on_loop
async def test_a_pattern_may_match_both_kinds() -> None:
    async with local_gateway() as gateway, browser(gateway.port) as client:
        gateway.publish("global.trending", 1)
        gateway.publish("global.news.today", "missed")
        await client.subscribe("global.>")
        assert (await client.message())["channel"] == "global.trending"
        gateway.publish("global.news.today", "heard")
        assert (await client.message())["data"] == "heard"
        assert await client.settle() == []


@on_loop
async def test_a_publication_comes_once_however_many_subscriptions_match() -> None:
    async with local_gateway() as gateway, browser(gateway.port) as client:
        await client.subscribe("global.>", "global.*", "global.news", "global.trending")
        gateway.publish("global.news", "event")
        gateway.publish("global.trending", "state")
        received = await client.settle()
        assert [one["data"] for one in received] == ["event", "state"]


@on_loop
async def test_subscribing_again_brings_the_last_value_again() -> None:
    async with local_gateway() as gateway, browser(gateway.port) as client:
        gateway.publish(STATE, 1)
        for _ in range(3):
            await client.subscribe(STATE, EVENT)
            assert (await client.message())["seq"] == 1
        gateway.publish(EVENT, "once")
        assert len(await client.settle()) == 1


@on_loop
async def test_a_name_that_stands_twice_counts_once() -> None:
    async with local_gateway() as gateway, browser(gateway.port) as client:
        gateway.publish(STATE, 1)
        reply = await client.subscribe(STATE, STATE, "x.y", "x.y")
        assert list(reply["channels"]) == [STATE] and list(reply["errors"]) == ["x.y"]
        assert seqs(await client.settle(), STATE) == [1]


@on_loop
async def test_publications_of_one_turn_leave_merged_for_state_and_whole_for_events() -> None:
    async with local_gateway() as gateway, browser(gateway.port) as client:
        await client.subscribe(STATE, EVENT)
        for number in range(1, 11):
            gateway.publish(STATE, number)
            gateway.publish(EVENT, number)
        received = await client.settle()
        assert seqs(received, EVENT) == list(range(1, 11))
        assert seqs(received, STATE) == [10]
        assert received[-1]["prev"] == 9, "prev names the channel's previous publication"


# Unsubscribing


@on_loop
async def test_nothing_of_a_channel_comes_after_unsubscribed() -> None:
    async with local_gateway() as gateway, browser(gateway.port) as client:
        await client.subscribe(STATE, EVENT, "global.news")
        reply = await client.unsubscribe(STATE, EVENT, "never.subscribed", "not a name", id="u")
        assert reply["id"] == "u"
        assert reply["channels"] == [STATE, EVENT, "never.subscribed", "not a name"]
        gateway.publish(STATE, 1)
        gateway.publish(EVENT, 1)
        gateway.publish("global.news", "still wanted")
        assert [one["data"] for one in await client.settle()] == ["still wanted"]


@on_loop
async def test_a_pattern_is_ended_by_its_own_name_only() -> None:
    async with local_gateway() as gateway, browser(gateway.port) as client:
        await client.subscribe("token.*.comment", EVENT)
        await client.unsubscribe(EVENT)
        gateway.publish(EVENT, "through the pattern")
        assert (await client.message())["data"] == "through the pattern"
        await client.subscribe(EVENT)
        await client.unsubscribe("token.*.comment")
        gateway.publish(EVENT, "through the channel")
        gateway.publish("token.xyz.comment", "not wanted")
        assert [one["data"] for one in await client.settle()] == ["through the channel"]


@on_loop
async def test_what_is_owed_is_dropped_before_the_reply() -> None:
    """In a window nobody would wait for, publications are owed while the command arrives."""
    async with (
        local_gateway(ws_flush_window_ms=10_000) as gateway,
        browser(gateway.port) as client,
    ):
        await client.subscribe(STATE, EVENT, "global.news")
        gateway.publish("global.news", "opens the window")
        assert (await client.message())["data"] == "opens the window"
        gateway.publish(STATE, "unwanted")
        gateway.publish(EVENT, "unwanted")
        gateway.publish("global.news", "wanted")
        await client.unsubscribe(STATE, EVENT)
        assert [one["data"] for one in await client.settle()] == ["wanted"]
        assert gateway.totals["purged"] == 1, "the state was not even spread"


# Everybody


@on_loop
async def test_many_clients_see_the_same() -> None:
    async with local_gateway() as gateway:
        clients = [await gateway.subscriber("token.*.comment", STATE) for _ in range(50)]
        for number in range(100):
            gateway.publish(f"token.t{number % 7}.comment", number)
        gateway.publish(STATE, "last")
        for client in clients:
            received = await client.messages(101)
            assert [one["data"] for one in received] == [*range(100), "last"]
        assert gateway.totals["frames_encoded"] == 101, "once for all of them"
        gateway.close_clients()
        await until(lambda: len(gateway.hub) == 0)
        assert gateway.core.index.subscriptions == 0


@on_loop
async def test_an_epoch_is_a_gateways_own() -> None:
    epochs = set()
    for _ in range(3):
        async with local_gateway() as gateway, browser(gateway.port) as client:
            reply = await client.subscribe(STATE, EVENT)
            epochs |= {position["epoch"] for position in reply["channels"].values()}
    assert len(epochs) == 3


# Feeds


@on_loop
async def test_clients_are_told_of_their_feed() -> None:
    async with local_gateway() as gateway, browser(gateway.port) as client:
        await client.subscribe(STATE, EVENT)
        gateway.hub.feed_stale("nats")
        assert await client.message() == {"type": "feed", "state": "stale"}
        async with browser(gateway.port) as newcomer:
            assert await newcomer.message() == {"type": "feed", "state": "stale"}
            gateway.hub.feed_live("nats", ("token.*.update", "token.*.comment"))
            assert await client.messages(2) == [
                {"type": "feed", "state": "live"},
                {"type": "gap", "channels": ["token.*.update", "token.*.comment"]},
            ]
            assert await newcomer.messages(1) == [{"type": "feed", "state": "live"}]
            assert await newcomer.settle() == [], "it is subscribed to nothing"
        async with browser(gateway.port) as third:
            assert await third.settle() == []


@on_loop
async def test_a_feed_that_was_never_there_is_stale() -> None:
    async with local_gateway(source=LateSource) as gateway, browser(gateway.port) as client:
        assert await client.message() == {"type": "feed", "state": "stale"}
        assert isinstance(gateway.source, LateSource)
        await gateway.source.arrive()
        assert await client.message() == {"type": "feed", "state": "live"}
        assert await client.settle() == []
