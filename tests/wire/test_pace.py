"""What waits, for a window or a clock, and what never does."""

from __future__ import annotations

from typing import Any

from tests.support.conversation import browser
from tests.support.gateway import local_gateway
from tests.support.loop import on_loop

STATE = "token.abc.update"
EVENT = "token.abc.comment"


def seqs(messages: list[Any], channel: str) -> list[int]:
    return [one["seq"] for one in messages if one.get("channel") == channel]


# Windows


@on_loop
async def test_replies_and_last_values_do_not_wait_for_a_window() -> None:
    window_ms = 10_000  # nobody would wait that long
    async with (
        local_gateway(ws_flush_window_ms=window_ms) as gateway,
        browser(gateway.port) as client,
    ):
        await client.subscribe(EVENT)
        gateway.publish(STATE, 1)
        gateway.publish(EVENT, "opens the window")
        await client.message()
        gateway.publish(EVENT, "within the window")
        async with browser(gateway.port) as other:
            assert (await other.subscribe(STATE))["channels"][STATE]["seq"] == 1
            assert (await other.message())["seq"] == 1
            gateway.publish("token.abc.update", 2)
            assert await other.settle() == []
        assert gateway.core.delivery.backlog()["events"] == 1


# max_rate


@on_loop
async def test_max_rate_sends_at_once_then_merges() -> None:
    slow, fast = "token.slow.update", "token.fast.update"
    async with local_gateway() as gateway, browser(gateway.port) as client:
        await client.subscribe(slow, max_rate=0.01)
        await client.subscribe(fast)
        for number in range(1, 6):
            gateway.publish(slow, number)
            gateway.publish(fast, number)
            received = await client.settle()
            assert seqs(received, fast) == [number]
            assert seqs(received, slow) == ([1] if number == 1 else [])


@on_loop
async def test_max_rate_ends_on_the_latest_of_each_channel() -> None:
    channels = [f"token.t{number}.update" for number in range(5)]
    async with local_gateway() as gateway, browser(gateway.port) as client:
        await client.subscribe("token.*.update", max_rate=20)
        for number in range(1, 51):
            for channel in channels:
                gateway.publish(channel, number)
            await client.settle()
        latest: dict[str, int] = {}
        while list(latest.values()) != [50] * 5:
            message = await client.message()
            assert message["seq"] > latest.get(message["channel"], 0)
            latest[message["channel"]] = message["seq"]
        assert gateway.totals["conflated"] > 0


@on_loop
async def test_max_rate_is_replaced_by_the_next_subscribe() -> None:
    async with local_gateway() as gateway, browser(gateway.port) as client:
        await client.subscribe(STATE, max_rate=0.01)
        gateway.publish(STATE, 1)
        await client.message()
        gateway.publish(STATE, 2)
        assert await client.settle() == []
        await client.subscribe(STATE)
        assert (await client.message())["seq"] == 2
        gateway.publish(STATE, 3)
        assert seqs(await client.settle(), STATE) == [3]


@on_loop
async def test_max_rate_does_not_thin_events() -> None:
    async with local_gateway() as gateway, browser(gateway.port) as client:
        await client.subscribe("global.>", max_rate=0.01)
        for number in range(1, 21):
            gateway.publish("global.news", number)
            gateway.publish("global.trending", number)
            await client.settle() if number == 1 else None
        assert seqs(await client.settle(), "global.news") == list(range(2, 21))


@on_loop
async def test_eight_rates_and_not_nine() -> None:
    async with local_gateway() as gateway, browser(gateway.port) as client:
        for rate in range(1, 9):
            await client.subscribe(f"token.r{rate}.update", max_rate=rate)
        await client.say("subscribe", channels=["token.r9.update"], max_rate=9, id="ninth")
        refused = await client.message()
        assert (refused["code"], refused["id"]) == ("too_many_rates", "ninth")
        await client.subscribe("token.r9.update", max_rate=8)
        await client.unsubscribe("token.r1.update")
        await client.subscribe("token.r9.update", max_rate=9)
