"""What the log says of each connection, for who looks into one client's trouble."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.support.client import Client, request
from tests.support.loop import on_loop
from tests.support.process import GatewayProcess, gateway_process, until

__all__ = ["gateway_process"]

HEADER_BYTES, MASKED_HEADER_BYTES = 2, 6  # of small frames, RFC 6455 5.2


@on_loop
async def test_a_line_when_it_begins_and_one_with_its_totals_when_it_is_gone(
    gateway_process: Callable[..., GatewayProcess],
) -> None:
    gateway = gateway_process(LOG_LEVEL="debug", LOG_FORMAT="json", WS_AUTH="none").start()
    client = await Client.connect(gateway.port)
    stale = await client.receive_text()
    for _ in range(3):
        await client.say("ping")
        assert await client.message() == {"type": "pong"}
    client.close()

    def lines(event: str) -> list[dict[str, object]]:
        return [one for one in gateway.log if one["event"] == event]

    await asyncio.to_thread(until, lambda: lines("disconnected"), "the line")
    (begun,), (gone,) = lines("connected"), lines("disconnected")
    assert begun["level"] == gone["level"] == "debug"
    assert begun["connection"] == gone["connection"]
    assert str(begun["peer"]).startswith("127.0.0.1:")
    assert gone["reason"] == "lost"
    assert isinstance(gone["age_s"], float) and gone["age_s"] >= 0
    assert gone["messages_received"] == 3
    ping = len(b'{"type": "ping"}') + MASKED_HEADER_BYTES
    fin = 1  # TCP counts it
    assert gone["received_bytes"] == len(request()) + 3 * ping + fin
    pong = len(b'{"type":"pong"}') + HEADER_BYTES
    feed = len(stale) + HEADER_BYTES
    switching = int(str(gone["acknowledged_bytes"])) - 3 * pong - feed
    assert 100 < switching < 300, "what is left for the 101"


@on_loop
async def test_at_info_there_is_none(gateway_process: Callable[..., GatewayProcess]) -> None:
    gateway = gateway_process(LOG_LEVEL="info", LOG_FORMAT="json", WS_AUTH="none").start()
    (await Client.connect(gateway.port)).close()
    gateway.until_metric('ws_connections_closed_total{reason="lost"}', lambda closed: closed == 1)
    assert not [one for one in gateway.log if "connected" in str(one["event"])]
