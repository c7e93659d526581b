"""The client and a gateway that does what the real one does seldom, or not yet."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from tests.support.feed import until
from tests.support.loop import on_loop
from tests.support.scripted_gateway import ScriptedGateway, scripted_gateway
from wsgate.client import Client, ClosedByGateway, Gap, HandshakeRefused, Update, Why
from wsgate.client.actions import Timing

EVENT, STATE = "token.a.comment", "token.a.update"


class Now(Random):
    """Comes back at once."""

    def uniform(self, a: float, b: float) -> float:
        return 0.0


def client_of(gateway: ScriptedGateway, **options: object) -> Client:
    return Client(gateway.url, random=Now(), **options)  # type: ignore[arg-type]


async def subscribed(client: Client, gateway: ScriptedGateway, *names: str):  # type: ignore[no-untyped-def]
    line = await gateway.accept()
    subscription, _ = await asyncio.gather(client.subscribe(*names), line.grant())
    return line, subscription


@on_loop
async def test_it_offers_the_token_beside_the_protocol() -> None:
    async with scripted_gateway() as gateway, client_of(gateway, token="abc.def.ghi"):
        line = await gateway.accept()
        assert line.offered == ["wsgate.delta.v1", "wsgate.v1", "wsgate.auth.abc.def.ghi"]
        assert line.path == "/"


@on_loop
async def test_a_token_that_cannot_be_had_is_asked_for_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = 0

    async def shy() -> str:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise RuntimeError("a secret in the text of an error")
        return "the.real.token"

    caplog.set_level("DEBUG")
    async with scripted_gateway() as gateway, client_of(gateway, token=shy):
        line = await gateway.accept()
        assert line.offered[-1] == "wsgate.auth.the.real.token"
    assert "no token is to be had: RuntimeError" in caplog.text
    ours = [one.getMessage() for one in caplog.records if one.name.startswith("wsgate")]
    assert not any("secret" in text or "real" in text for text in ours)


@on_loop
async def test_503_is_tried_again_when_it_says_and_403_is_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scripted_gateway() as gateway:
        gateway.answers += [(503, {"Retry-After": "0"}), (502, {}), (503, {"Retry-After": "0"})]
        gateway.answers += [(200, {}), (304, {})]
        async with client_of(gateway) as client:
            await gateway.accept()
            await client.wait_connected()
            assert gateway.requests == 6
        assert "answers with HTTP 200" in caplog.text
        gateway.answers.append((403, {}))
        async with client_of(gateway) as client:
            with pytest.raises(HandshakeRefused) as caught:
                await client.wait_connected()
            assert caught.value.status == 403
        gateway.answers.append((503, {"Retry-After": "3000"}))
        async with client_of(gateway) as client:
            await until(lambda: client._session._dial_at is not None)
            wake_at = client._session.wake_at()
            assert wake_at is not None and wake_at - client._now() > 2000


@on_loop
async def test_what_is_recovered_follows_without_a_seam() -> None:
    async with scripted_gateway() as gateway, client_of(gateway) as client:
        line, events = await subscribed(client, gateway, EVENT, "token.*.comment")
        await line.publish(EVENT, 1)
        assert (await anext(events)).seq == 1
        await line.close(1012)
        line = await gateway.accept()
        entry = {"epoch": "e1", "seq": 3, "recovered": True}
        command = await line.grant(token__a__comment=entry)
        assert command["recover"] == {EVENT: {"epoch": "e1", "seq": 1}}
        for seq in (2, 3, 3, 4):
            await line.publish(EVENT, seq)
        items = events.with_gaps()
        assert await anext(items) == Gap(("token.*.comment",), Why.UNSEEN)
        assert [(await anext(events)).seq for _ in range(3)] == [2, 3, 4]
        await line.close(1012)
        line = await gateway.accept()
        await line.grant(token__a__comment={"epoch": "e2", "seq": 9, "recovered": False})
        await line.publish(EVENT, 10)
        assert [await anext(items) for _ in range(2)] == [
            Gap((EVENT,), Why.UNRECOVERED),
            Gap(("token.*.comment",), Why.UNSEEN),
        ]
        assert (await anext(events)).seq == 10


@pytest.mark.parametrize("with_gaps", [False, True])
@on_loop
async def test_a_read_that_was_cancelled_costs_nothing(with_gaps: bool) -> None:
    async with scripted_gateway() as gateway, client_of(gateway) as client:
        line, events = await subscribed(client, gateway, EVENT)
        items = events.with_gaps() if with_gaps else aiter(events)
        for seq in (1, 2):
            reading = asyncio.ensure_future(anext(items))
            await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            await line.publish(EVENT, seq)
            assert await anext(items) == Update("x", EVENT, seq, seq - 1, f"{EVENT} {seq}")
        events.close()
        assert [one async for one in items] == []


@on_loop
async def test_it_moves_when_told_without_losing_or_repeating() -> None:
    async with scripted_gateway() as gateway, client_of(gateway) as client:
        old, events = await subscribed(client, gateway, EVENT)
        await old.publish(EVENT, 1)
        await old.send({"type": "reconnect", "after_ms": 1})
        new = await gateway.accept()
        await old.publish(EVENT, 2)
        entry = {"epoch": "e1", "seq": 3}
        await new.grant(token__a__comment=entry)
        await new.publish(EVENT, 4)
        await old.publish(EVENT, 3)
        assert await old.closed() == 1000
        await new.publish(EVENT, 5)
        items = events.with_gaps()
        found = [await anext(items) for _ in range(5)]
        assert [one.seq for one in found if isinstance(one, Update)] == [1, 2, 3, 4, 5]


@on_loop
async def test_a_silent_peer_is_left_for_another() -> None:
    timing = Timing(silence_s=0.05, patience_s=0.05)
    async with scripted_gateway() as gateway, client_of(gateway, timing=timing) as client:
        line, events = await subscribed(client, gateway, EVENT)
        await line.command("ping")
        other = await gateway.accept()
        await other.grant()
        await other.publish(EVENT, 1)
        assert (await anext(events)).seq == 1


@pytest.mark.parametrize("code", [1000, 1002, 1009, 4500, 4502, 4504, 4999])
@on_loop
async def test_some_close_codes_are_the_end_for_everybody(code: int) -> None:
    async with scripted_gateway() as gateway, client_of(gateway) as client:
        line, events = await subscribed(client, gateway, EVENT)
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        await line.close(code, "why")
        with pytest.raises(ClosedByGateway) as caught:
            await waiting
        assert (caught.value.code, caught.value.reason) == (code, "why")
        with pytest.raises(ClosedByGateway):
            await client.subscribe(STATE)
        assert gateway.requests == 1


@pytest.mark.parametrize("code", [1001, 1011, 1012, 1013, 4001, 4402, 4499])
@on_loop
async def test_other_close_codes_are_not(code: int) -> None:
    token = "a.b.c" if code == 4402 else None
    async with scripted_gateway() as gateway, client_of(gateway, token=token) as client:
        line, events = await subscribed(client, gateway, EVENT)
        await line.close(code)
        line = await gateway.accept()
        await line.grant()
        await line.publish(EVENT, 1)
        assert (await anext(events)).seq == 1


@on_loop
async def test_pause_and_resume() -> None:
    async with scripted_gateway() as gateway, client_of(gateway) as client:
        line = await gateway.accept()
        await client.wait_connected()
        for ask, kind, reply in (
            (client.pause, "pause", "paused"),
            (client.resume, "resume", "resumed"),
        ):
            waiting = asyncio.ensure_future(ask())
            command = await line.command(kind)
            await line.send({"type": reply, "id": command["id"]})
            await waiting


@on_loop
async def test_a_callback_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def fails(_: object) -> None:
        raise RuntimeError

    async with scripted_gateway() as gateway, client_of(gateway, on_gap=fails) as client:
        line, events = await subscribed(client, gateway, EVENT)
        await line.send({"type": "gap", "channels": [EVENT]})
        await line.publish(EVENT, 5)
        assert (await anext(events)).seq == 5
    assert "a callback failed" in caplog.text
    assert f"something may be missing on ('{EVENT}',): told" in caplog.text


@on_loop
async def test_two_readers_of_one_subscription_are_a_mistake() -> None:
    async with scripted_gateway() as gateway, client_of(gateway) as client:
        _, events = await subscribed(client, gateway, EVENT)
        first = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError):
            await anext(events)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first


def test_a_url_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(ValueError):
        Client("http://example.test/")
