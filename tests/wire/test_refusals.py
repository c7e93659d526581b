"""What a client may not ask for, in which words it hears so, and that it hurts nobody."""

from __future__ import annotations

import json

import pytest

from tests.support.conversation import browser
from tests.support.gateway import local_gateway
from tests.support.loop import on_loop

EVENT = "token.abc.comment"


@pytest.mark.parametrize(
    ("text", "code", "id"),
    [
        ("", "bad_json", None),
        ("{", "bad_json", None),
        ("[" * 2000 + "]" * 2000, "bad_json", None),
        ("[]", "bad_command", None),
        ("null", "bad_command", None),
        ("{}", "bad_command", None),
        ('{"type":1,"id":7}', "bad_command", 7),
        ('{"type":"shout","id":"a"}', "unknown_command", "a"),
        ('{"type":"subscribe","id":1}', "bad_command", 1),
        ('{"type":"subscribe","channels":"global.news","id":1}', "bad_command", 1),
        ('{"type":"subscribe","channels":[1],"id":1}', "bad_command", 1),
        ('{"type":"subscribe","channels":[],"max_rate":0,"id":1}', "bad_command", 1),
        ('{"type":"subscribe","channels":[],"max_rate":true,"id":1}', "bad_command", 1),
        ('{"type":"subscribe","channels":[],"max_rate":1001,"id":1}', "bad_command", 1),
        ('{"type":"subscribe","channels":[],"recover":[],"id":1}', "bad_command", 1),
        ('{"type":"subscribe","channels":[],"recover":{"a":{}},"id":1}', "bad_command", 1),
        (
            '{"type":"subscribe","channels":[],"recover":{"a":{"epoch":1,"seq":1}},"id":1}',
            "bad_command",
            1,
        ),
        (
            '{"type":"subscribe","channels":[],"recover":{"a":{"epoch":"e","seq":-1}},"id":1}',
            "bad_command",
            1,
        ),
        (
            '{"type":"subscribe","channels":[],"recover":{"a":{"epoch":"e","seq":true}},"id":1}',
            "bad_command",
            1,
        ),
        ('{"type":"unsubscribe","id":1}', "bad_command", 1),
        ('{"type":"ping","id":1.0}', "bad_command", None),
        ('{"type":"ping","id":"%s"}' % ("x" * 65), "bad_command", None),
        ('{"type":"ping","id":9007199254740992}', "bad_command", None),
        ('{"type":"auth","token":"secret","id":1}', "not_supported", 1),
        ('{"type":"auth","id":1}', "bad_command", 1),
    ],
)
@on_loop
async def test_a_refused_command_has_one_error_and_no_effect(
    text: str, code: str, id: int | str | None
) -> None:
    async with local_gateway() as gateway, browser(gateway.port) as client:
        await client.send_text(text)
        error = await client.message()
        assert list(error) == ["type", *(["id"] if id is not None else []), "code", "message"]
        assert (error["type"], error["code"], error.get("id")) == ("error", code, id)
        assert await client.settle() == []
        assert gateway.core.index.subscriptions == 0


@pytest.mark.parametrize("id", ["", "x" * 64, "\u00e9" * 32, 0, -(2**53) + 1, 2**53 - 1])
@on_loop
async def test_ids_come_back_as_they_are(id: str | int) -> None:
    async with local_gateway() as gateway, browser(gateway.port) as client:
        await client.say("ping", id=id)
        assert await client.message() == {"type": "pong", "id": id}
        assert list(await client.subscribe(EVENT, id=id)) == ["type", "id", "channels"]
        assert (await client.unsubscribe(EVENT, id=id))["id"] == id


@on_loop
async def test_each_refused_channel_has_its_error() -> None:
    refused = {
        "": "bad_channel",
        "a..b": "bad_channel",
        "token.a*": "bad_channel",
        "token.>.x": "bad_channel",
        'a"b': "bad_channel",
        "global.\u00e9": "bad_channel",
        "x" * 256: "bad_channel",
        ".".join("x" * 17): "bad_channel",
        "unknown": "unknown_channel",
        "token.abc": "unknown_channel",
        "token.>": "pattern_not_allowed",
        "token.abc.*": "pattern_not_allowed",
        ">": "pattern_not_allowed",
    }
    async with local_gateway() as gateway, browser(gateway.port) as client:
        reply = await client.subscribe(EVENT, *refused)
        assert list(reply["channels"]) == [EVENT]
        assert {name: error["code"] for name, error in reply["errors"].items()} == refused
        gateway.publish(EVENT, 1)
        assert len(await client.settle()) == 1


@on_loop
async def test_subscriptions_are_limited() -> None:
    async with local_gateway() as gateway, browser(gateway.port) as client:
        await client.subscribe(*(f"global.c{number}" for number in range(999)))
        reply = await client.subscribe("global.c0", "global.new", "global.surplus", "global.c1")
        assert list(reply["channels"]) == ["global.c0", "global.new", "global.c1"]
        assert reply["errors"]["global.surplus"]["code"] == "too_many_subscriptions"
        await client.unsubscribe("global.c5")
        assert "errors" not in await client.subscribe("global.surplus")


@on_loop
async def test_channels_are_limited() -> None:
    async with (
        local_gateway(limits={"channels_max": 3}) as gateway,
        browser(gateway.port) as client,
    ):
        reply = await client.subscribe(*(f"global.c{number}" for number in range(4)))
        assert list(reply["channels"]) == ["global.c0", "global.c1", "global.c2"]
        assert reply["errors"]["global.c3"]["code"] == "too_many_channels"
        assert not gateway.source.publish("global.c3", b"1")
        await client.unsubscribe("global.c0")
        assert "errors" not in await client.subscribe("global.c3")


@on_loop
async def test_the_sixteenth_malformed_command_in_a_row_is_the_last() -> None:
    async with local_gateway() as gateway, browser(gateway.port) as client:
        for _ in range(15):
            await client.send_text("{")
            assert (await client.message())["code"] == "bad_json"
        await client.say("ping")
        assert (await client.message())["type"] == "pong"
        for _ in range(16):
            await client.send_text("{")
        assert [one["code"] for one in await client.messages(16)] == ["bad_json"] * 16
        await client.connection.wait_closed()
        assert client.connection.close_code == 4502
        assert client.connection.close_reason == "too_many_bad_commands"


@on_loop
async def test_commands_are_answered_in_order() -> None:
    async with local_gateway() as gateway, browser(gateway.port) as client:
        expected = []
        for number in range(200):
            kind = ("subscribe", "unsubscribe", "ping", "pause")[number % 4]
            await client.say(kind, id=number, channels=[EVENT])
            replies = ("subscribed", "unsubscribed", "pong", "paused")
            expected.append((number, replies[number % 4]))
        received = await client.messages(200)
        assert [(reply["id"], reply["type"]) for reply in received] == expected


@on_loop
async def test_a_command_that_is_exactly_as_long_as_allowed() -> None:
    async with local_gateway() as gateway, browser(gateway.port) as client:
        text = json.dumps({"type": "ping", "id": 1})
        await client.send_text(text + " " * (65_536 - len(text)))
        assert (await client.message())["id"] == 1
        await client.send_text(text + " " * (65_537 - len(text)))
        await client.connection.wait_closed()
        assert client.connection.close_code == 1009
