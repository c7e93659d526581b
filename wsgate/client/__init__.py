"""A client of the gateway, for programs on asyncio.

    async with Client("wss://...", token=...) as client:
        prices = await client.subscribe("token.*.update", max_rate=2)
        async for update in prices:
            print(update.channel, update.data)

It needs ``pip install wsgate[client]``; ``docs/client.md`` is its manual. The parts, from the
middle outwards: ``session`` and what it imports decide everything and do no IO; ``client`` does it.
"""

from wsgate.client.actions import Timing
from wsgate.client.client import Client, Token
from wsgate.client.errors import (
    ClientError,
    Closed,
    ClosedByGateway,
    HandshakeRefused,
    Left,
    NotSupported,
    Refused,
    SubscribeRefused,
    TokenRefused,
)
from wsgate.client.items import Gap, Item, Update, Why
from wsgate.client.subscription import Subscription

__all__ = [
    "Client",
    "ClientError",
    "Closed",
    "ClosedByGateway",
    "Gap",
    "HandshakeRefused",
    "Item",
    "Left",
    "NotSupported",
    "Refused",
    "SubscribeRefused",
    "Subscription",
    "Timing",
    "Token",
    "TokenRefused",
    "Update",
    "Why",
]
