"""More is published than the gateway may take: what clients get, and what operators see."""

from __future__ import annotations

from tests.support.feed import until
from tests.support.gateway import local_gateway
from tests.support.loop import on_loop

EVENT = "token.abc.comment"
STATE = "token.abc.update"


@on_loop
async def test_events_past_the_rate_are_a_gap_and_later_ones_come_again() -> None:
    async with local_gateway(limits={"publications_per_s": 5}) as gateway:
        client = await gateway.subscriber(EVENT)
        taken = [gateway.source.publish(EVENT, b"%d" % number) for number in range(20)]
        assert taken[:5] == [True] * 5
        assert not all(taken)
        messages = [await client.message() for _ in range(6)]
        assert [one["data"] for one in messages[:5]] == [0, 1, 2, 3, 4]
        assert messages[5] == {"type": "gap", "channels": ["token.*.comment"]}
        await until(lambda: gateway.source.publish(EVENT, b"20"), "room for one more")
        while (await client.message()).get("data") != 20:
            pass
        assert gateway.hub.regulator is not None
        assert gateway.hub.regulator.dropped["nats"] >= taken.count(False)
        assert gateway.totals["dropped_rate"] == gateway.hub.regulator.dropped["nats"]


@on_loop
async def test_state_past_the_rate_is_conflated_and_ends_on_the_latest() -> None:
    async with local_gateway(limits={"broadcasts_per_s": 5}) as gateway:
        client = await gateway.subscriber(STATE)
        for number in range(1000):
            gateway.publish(STATE, number)
        seen = []
        while not seen or seen[-1] != 999:
            seen.append((await client.message())["data"])
        assert seen == sorted(seen), "and none is old"
        assert len(seen) < 100
        assert gateway.hub.regulator is not None
        assert gateway.hub.regulator.conflated["broadcast"] > 900
        assert gateway.hub.regulator.waiting == 0
