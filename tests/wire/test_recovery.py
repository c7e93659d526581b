"""Who comes back asks for what he missed; who is hidden wants nothing for a while."""

from __future__ import annotations

import asyncio
from itertools import chain
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.feed import until
from tests.support.frames import PING
from tests.support.gateway import LateSource, LocalGateway, local_gateway
from tests.support.loop import on_loop
from wsgate.sources.local import LocalSource

EVENT = "token.abc.comment"
STATE = "token.abc.update"
EPOCH = "the stream"


class Stream(LocalSource):
    """A source with positions, which keeps what it has published; ``broken``: and cannot tell."""

    def __init__(self, feed: Any) -> None:
        super().__init__(feed)
        self.kept: list[tuple[str, int, bytes]] = []
        self.asked: list[tuple[str, int]] = []
        self.broken = False
        feed.begin_epoch(self.name, EPOCH, ["token.>"], 0)

    def publish(self, subject: str, payload: bytes, seq: int = 0, epoch: str = "") -> bool:
        self.kept.append((subject, len(self.kept) + 1, payload))
        return self._feed.publish(subject, payload, len(self.kept), EPOCH)

    async def replay(  # type: ignore[override]
        self, subject: str, after: int, epoch: str
    ) -> list[tuple[int, bytes]] | None:
        self.asked.append((subject, after))
        if self.broken:
            raise ConnectionError("the stream is away")
        return [
            (seq, payload) for name, seq, payload in self.kept if name == subject and seq > after
        ]


def remembering(events: int) -> dict[str, Any]:
    rule = {"subject": "token.*.comment", "type": "token_comment", "kind": "event"}
    state = {"subject": "token.*.update", "type": "token_update", "kind": "state"}
    return {"ws_rules": [rule | {"history_events": events}, state]}


def numbers(messages: list[Any]) -> list[Any]:
    return [one["data"] for one in messages]


async def position(gateway: LocalGateway, channel: str) -> dict[str, Any]:
    """Where a client stands that is there until now."""
    client = await gateway.connect()
    reply = await client.subscribe(channel)
    client.close()
    found: dict[str, Any] = reply["channels"][channel]
    return found


@on_loop
async def test_events_that_were_missed_come_after_the_reply_and_before_new_ones() -> None:
    async with local_gateway() as gateway:
        for number in (1, 2):
            gateway.publish(EVENT, number)
        known = await position(gateway, EVENT)
        for number in (3, 4):
            gateway.publish(EVENT, number)
        client = await gateway.connect()
        reply = await client.subscribe(EVENT, recover={EVENT: known})
        gateway.publish(EVENT, 5)
        assert list(reply["channels"][EVENT].items()) == [
            ("epoch", known["epoch"]),
            ("seq", 4),
            ("recovered", True),
        ]
        assert numbers(await client.messages(3)) == [3, 4, 5]
        assert await client.settle() == []


@on_loop
async def test_a_position_of_another_life_is_refused_with_the_new_epoch() -> None:
    async with local_gateway() as gateway:
        gateway.publish(EVENT, 1)
        gateway.publish(STATE, 1)
        client = await gateway.connect()
        old = {"epoch": "another", "seq": 1}
        reply = await client.subscribe(EVENT, STATE, recover={EVENT: old, STATE: old})
        for channel in (EVENT, STATE):
            assert reply["channels"][channel]["recovered"] is False
            assert reply["channels"][channel]["epoch"] != "another"
        assert numbers(await client.settle()) == [1], "the state; nothing of the events"


@on_loop
async def test_a_pattern_recovers_through_the_channels_that_are_named() -> None:
    async with local_gateway() as gateway:
        names = [f"token.{name}.comment" for name in "abc"]
        for name in names:
            gateway.publish(name, "old")
        known = {name: await position(gateway, name) for name in names}
        for name in names:
            gateway.publish(name, "missed")
        client = await gateway.connect()
        asked = {names[0]: known[names[0]], names[1]: known[names[1]], "global.x": known[names[0]]}
        reply = await client.subscribe("token.*.comment", recover=asked)
        assert list(reply["channels"]) == ["token.*.comment", names[0], names[1]]
        assert reply["channels"][names[0]]["recovered"] is True
        received = await client.settle()
        assert [one["channel"] for one in received] == names[:2]


@on_loop
async def test_a_channel_of_a_pattern_that_there_is_no_room_for_is_an_error() -> None:
    async with local_gateway(ws_max_channels=2) as gateway:
        names = [f"token.{name}.comment" for name in "abc"]
        known = {name: await position(gateway, name) for name in names}
        await gateway.subscriber(names[0])
        recover = dict.fromkeys(names[1:], known[names[0]])
        client = await gateway.connect()
        reply = await client.subscribe("token.*.comment", recover=recover)
        assert reply["channels"] == {
            "token.*.comment": {},
            names[2]: known[names[2]] | {"recovered": True},
        }
        assert reply["errors"] == {
            names[1]: {
                "code": "too_many_channels",
                "message": "the gateway serves as many channels as it may",
            }
        }
        await gateway.subscriber(names[2])
        other = await gateway.connect()
        reply = await other.subscribe("token.*.comment", recover=recover)
        assert list(reply["channels"]) == ["token.*.comment", names[2]]
        assert list(reply["errors"]) == [names[1]], "both that there is room for are in use"
        assert gateway.hub.subscriptions.recoveries == {"whole": 2, "refused": 2}
        gateway.publish(names[2], 1)
        assert numbers(await client.messages(1)) == numbers(await other.messages(1)) == [1]


@on_loop
async def test_what_one_is_subscribed_to_already_is_not_recovered() -> None:
    async with local_gateway() as gateway:
        known = await position(gateway, EVENT)
        client = await gateway.subscriber("token.*.comment")
        gateway.publish(EVENT, 1)
        assert numbers(await client.messages(1)) == [1]
        reply = await client.subscribe(EVENT, recover={EVENT: known})
        assert "recovered" not in reply["channels"][EVENT]
        assert await client.settle() == []


@on_loop
async def test_a_state_comes_only_if_it_is_newer() -> None:
    async with local_gateway() as gateway:
        gateway.publish(STATE, 1)
        known = await position(gateway, STATE)
        client = await gateway.connect()
        reply = await client.subscribe(STATE, recover={STATE: known})
        assert reply["channels"][STATE]["recovered"] is True
        assert await client.settle() == []
        gateway.publish(STATE, 2)
        assert numbers(await client.messages(1)) == [2]


@on_loop
async def test_what_memory_has_not_is_fetched_from_the_stream() -> None:
    async with local_gateway(source=Stream, **remembering(2)) as gateway:
        known = {"epoch": EPOCH, "seq": 1}
        for number in range(1, 11):
            gateway.publish(EVENT, number)
        client = await gateway.connect()
        await client.say("subscribe", id=1, channels=[EVENT], recover={EVENT: known})
        await client.say("ping", id=2)
        reply = await client.message()
        assert reply["channels"][EVENT] == {"epoch": EPOCH, "seq": 10, "recovered": True}
        received = await client.messages(10)
        assert [one["id"] for one in received if one["type"] == "pong"] == [2]
        events = [one for one in received if one["type"] != "pong"]
        assert numbers(events) == list(range(2, 11))
        assert [one["prev"] for one in events] == list(range(1, 10))
        assert gateway.source.asked == [(EVENT, 1)]  # type: ignore[attr-defined]
        assert gateway.hub.subscriptions.replays.outcomes == {"found": 1}


REFUSED = {"not_json": [b"not json", b'"\xff\xfe"', b""], "too_large": [b'"%s"' % (b"x" * 262_143)]}


@pytest.mark.parametrize("at", [1, 4, 8, 9], ids="at_{}".format)
@on_loop
async def test_what_was_refused_is_not_replayed_either(at: int) -> None:
    async with local_gateway(source=Stream, **remembering(2)) as gateway:
        live = await gateway.subscriber(EVENT)
        for number in range(10):
            if number == at:
                for payload in chain.from_iterable(REFUSED.values()):
                    assert not gateway.source.publish(EVENT, payload)
            if number < 9:
                gateway.publish(EVENT, number)
        owed = await live.messages(9)
        refused = {reason: len(payloads) for reason, payloads in REFUSED.items()}
        assert gateway.hub.refused == refused
        client = await gateway.connect()
        after = owed[0]["seq"]
        reply = await client.subscribe(EVENT, recover={EVENT: {"epoch": EPOCH, "seq": after}})
        assert reply["channels"][EVENT] == {
            "epoch": EPOCH,
            "seq": owed[8]["seq"],
            "recovered": True,
        }
        assert await client.messages(8) == owed[1:]
        assert await client.settle() == []
        assert gateway.hub.refused == {one: 2 * count for one, count in refused.items()}


@pytest.mark.parametrize("number_kept", [0, 2])
@on_loop
async def test_a_stream_that_cannot_tell_recovers_nothing(number_kept: int) -> None:
    async with local_gateway(source=Stream, **remembering(number_kept)) as gateway:
        for number in range(1, 11):
            gateway.publish(EVENT, number)
        gateway.source.broken = True  # type: ignore[attr-defined]
        client = await gateway.connect()
        reply = await client.subscribe(EVENT, recover={EVENT: {"epoch": EPOCH, "seq": 1}})
        assert reply["channels"][EVENT]["recovered"] is False
        assert await client.settle() == []
        gateway.publish(EVENT, 11)
        assert numbers(await client.messages(1)) == [11]


@on_loop
async def test_who_leaves_while_the_stream_is_asked_leaves_nothing_behind() -> None:
    async with local_gateway(source=Stream, **remembering(0)) as gateway:
        for number in range(1, 4):
            gateway.publish(EVENT, number)
        client = await gateway.connect()
        await client.say("subscribe", channels=[EVENT], recover={EVENT: {"epoch": EPOCH, "seq": 1}})
        client.cut()
        await gateway.until_empty()
        assert gateway.hub.subscriptions._portions == {}


async def beginner(gateway: LocalGateway) -> Client:
    """It has to wait until the gateway knows where its channels stand, and so has what follows."""
    client = await gateway.connect()
    assert (await client.message())["type"] == "feed"
    recover = {EVENT: {"epoch": EPOCH, "seq": 1}}
    await client.say("subscribe", id="first", channels=[EVENT], recover=recover)
    return client


async def say_much(client: Client, count: int, size: int) -> None:
    for id in range(count):
        await client.say("ping", id=id, padding="x" * size)


@pytest.mark.parametrize("size", [0, 60_000], ids=["many", "large"])
@on_loop
async def test_as_much_as_the_rates_allow_may_wait(size: int) -> None:
    async with local_gateway(source=LateSource, ws_max_commands_per_s=20) as gateway:
        client = await beginner(gateway)
        [connection] = gateway.connections
        saying = asyncio.create_task(say_much(client, 199, size))
        if size:
            await until(lambda: connection.held_back, "the client to be held back")
            before = connection.messages
            connection.resume_reading()  # as when its turn has come
            other = await gateway.connect()
            for id in range(3):
                await other.say("ping", id=id)
                while (await other.message()).get("id") != id:
                    pass
            assert connection.messages == before
        else:
            await until(lambda: connection.messages == 200, "all of it to wait")
        assert connection.held_back == (size > 0) == (not saying.done())
        await gateway.source.arrive()  # type: ignore[attr-defined]
        replies = [one for one in await client.messages(201) if one["type"] != "feed"]
        assert [one["id"] for one in replies] == ["first", *range(199)]
        assert gateway.hub._waiting.bytes == 0 and not connection.held_back
        await saying


@on_loop
async def test_who_is_held_back_is_not_taken_for_dead() -> None:
    limits = {"ping_interval_s": 0.1}
    async with local_gateway(source=LateSource, limits=limits) as gateway:
        client = await beginner(gateway)
        [connection] = gateway.connections
        saying = asyncio.create_task(say_much(client, 40, 60_000))
        await until(lambda: connection.held_back, "the client to be held back")
        for _ in range(4):
            assert (await client.receive()).opcode == PING
        await gateway.source.arrive()  # type: ignore[attr-defined]
        await saying
        await until(lambda: connection.messages == 41, "all to be read")


@on_loop
async def test_who_is_held_back_and_has_to_go_is_listened_to() -> None:
    limits = {"close_timeout_s": 600.0, "shutdown_timeout_s": 600.0}  # nobody is cut off
    async with local_gateway(source=LateSource, limits=limits) as gateway:
        client = await beginner(gateway)
        [connection] = gateway.connections
        await say_much(client, 2, 60_000)
        await until(lambda: connection.held_back, "the client to be held back")
        stop = gateway.stop()
        _, close = await client.until_close(answer=True)
        assert close.close_code == 1012
        await stop
        assert gateway.hub.closed_by_reason == {"service_restart": 1}
        assert gateway.hub._waiting.bytes == 0


@on_loop
async def test_when_too_much_waits_of_all_a_client_has_to_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("wsgate.waiting.ALL_BYTES_MAX", 200_000)
    async with local_gateway(source=LateSource) as gateway:
        clients = [await beginner(gateway) for _ in range(4)]
        for client in clients[:3]:
            await say_much(client, 1, 60_000)
        await until(lambda: gateway.hub._waiting.bytes > 180_000, "these to wait")
        await say_much(clients[3], 1, 60_000)
        messages, close = await clients[3].until_close(answer=True)
        assert close.close_code == 1013 and not messages
        await gateway.source.arrive()  # type: ignore[attr-defined]
        for client in clients[:3]:
            assert [one["id"] for one in (await client.messages(3)) if "id" in one] == ["first", 0]
        assert gateway.hub._waiting.bytes == 0


@on_loop
async def test_a_paused_client_gets_replies_only_and_is_current_when_it_resumes() -> None:
    async with local_gateway() as gateway:
        client = await gateway.subscriber(EVENT, STATE)
        await client.say("pause", id=1)
        assert await client.message() == {"type": "paused", "id": 1}
        writes = gateway.totals["writes"]
        for number in range(100):
            gateway.publish(EVENT, number)
            gateway.publish(STATE, number)
        await gateway.until_flushed()
        assert gateway.totals["writes"] == writes
        await client.say("ping", id=2)
        assert await client.message() == {"type": "pong", "id": 2}
        await client.say("resume", id=3)
        assert await client.message() == {"type": "resumed", "id": 3}
        received = await client.messages(101)
        assert [one["data"] for one in received if one["channel"] == EVENT] == list(range(100))
        assert [one["data"] for one in received if one["channel"] == STATE] == [99]


@on_loop
async def test_a_paused_client_that_missed_too_much_is_told_so() -> None:
    async with local_gateway(limits={"events_count_max": 10}) as gateway:
        client = await gateway.subscriber(EVENT)
        await client.say("pause")
        await client.message()
        for number in range(20):
            gateway.publish(EVENT, number)
        await until(lambda: gateway.totals["dropped_gap"] == 10, "too much")
        await client.say("resume")
        await client.message()
        received = await client.messages(11)
        assert received[10] == {"type": "gap", "channels": ["token.*.comment"]}


# What never reached the gateway


@on_loop
async def test_a_position_from_before_an_outage_is_refused_with_a_new_epoch() -> None:
    async with local_gateway() as gateway:
        stays = await gateway.connect()
        await stays.subscribe(EVENT)
        gateway.publish(EVENT, 1)
        before = await position(gateway, EVENT)
        gateway.hub.feed_stale("nats")
        gateway.hub.feed_live("nats", ["token.*.comment"])
        early = await gateway.connect()
        reply = await early.subscribe(EVENT, recover={EVENT: before})
        found = reply["channels"][EVENT]
        assert found["recovered"] is False and found["epoch"] != before["epoch"]
        gateway.publish(EVENT, 2)
        late = await gateway.connect()
        reply = await late.subscribe(EVENT, recover={EVENT: before})
        assert reply["channels"][EVENT]["recovered"] is False
        assert await late.settle() == []
        # From then on all is as ever.
        again = await gateway.connect()
        del found["recovered"]
        reply = await again.subscribe(EVENT, recover={EVENT: found})
        assert reply["channels"][EVENT]["recovered"] is True
        assert numbers(await again.settle()) == [2]
        told = [one["type"] for one in await stays.settle() if one["type"] != "feed"]
        assert told == ["token_comment", "gap", "token_comment"]


@on_loop
async def test_who_was_there_before_a_source_is_told_of_a_gap() -> None:
    async with local_gateway() as gateway:
        gateway.hub.feed_stale("late")
        early, idle = await gateway.connect(), await gateway.connect()
        for one in (early, idle):
            assert await one.message() == {"type": "feed", "state": "stale"}
        await early.subscribe(EVENT)
        gateway.hub.feed_live("late", ())
        told = [one for one in await early.settle() if one["type"] != "feed"]
        assert [one["type"] for one in told] == ["gap"]
        assert "token.*.comment" in told[0]["channels"]
        assert {one["type"] for one in await idle.settle()} == {"feed"}, "it subscribes to nothing"
        gateway.hub.feed_stale("late")
        gateway.hub.feed_live("late", ())
        assert {one["type"] for one in await early.settle()} == {"feed"}, "nothing was missed"


@on_loop
async def test_what_a_stream_lost_here_it_may_still_have_for_who_comes_back() -> None:
    async with local_gateway(source=Stream) as gateway:
        assert isinstance(gateway.source, Stream)
        gateway.publish(EVENT, 1)
        before = await position(gateway, EVENT)
        gateway.source.kept.append((EVENT, 2, b"2"))  # which never comes
        gateway.hub.lose_up_to(EPOCH, 2)
        gateway.publish(EVENT, 3)
        client = await gateway.connect()
        reply = await client.subscribe(EVENT, recover={EVENT: before})
        assert reply["channels"][EVENT]["recovered"] is True
        assert numbers(await client.settle()) == [2, 3]
        gateway.source.broken = True
        client = await gateway.connect()
        reply = await client.subscribe(EVENT, recover={EVENT: before})
        assert reply["channels"][EVENT] == {"epoch": EPOCH, "seq": 3, "recovered": False}
