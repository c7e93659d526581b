"""A gateway that asks for tokens, and clients with good ones and others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.support.client import UPGRADE, Answer, Client, request
from tests.support.gateway import LocalGateway, local_gateway
from tests.support.issuer import SECRET, token

STATE = "token.abc.update"
EVENT = "token.abc.comment"
TRENDING = "global.trending"
ALL = ["token.>", "global.>"]


def good(**more: Any) -> str:
    """A token signed with the secret, for everything unless told otherwise."""
    return token("HS256", **({"channels": ALL} | more))


def expired(**more: Any) -> str:
    return good(**({"exp": int(time.time()) - 3600} | more))


def forged() -> str:
    return token("HS256", "k2")


@asynccontextmanager
async def guarded(**settings: Any) -> AsyncIterator[LocalGateway]:
    defaults = {"ws_auth": "jwt", "ws_jwt_secret": SECRET.decode(), "ws_jwt_leeway_s": 0}
    async with local_gateway(**(defaults | settings)) as gateway:
        yield gateway


async def ask(
    gateway: LocalGateway, path: str = "/", headers: Mapping[str, str] | None = None
) -> tuple[Client, Answer]:
    client = await gateway.dial()
    return client, await client.ask(request(path, {**UPGRADE, **(headers or {})}))


async def entered(
    gateway: LocalGateway, path: str = "/", headers: Mapping[str, str] | None = None
) -> Client:
    client, answer = await ask(gateway, path, headers)
    assert answer.status == 101, answer
    return client


async def insider(gateway: LocalGateway, *channels: str, **claims: Any) -> Client:
    """A client that is in, and subscribed."""
    client = await entered(gateway, f"/?auth={good(**claims)}")
    reply = await client.subscribe(*channels)
    assert "errors" not in reply, reply
    return client


async def shut_out(client: Client, code: int, reason: str) -> list[Any]:
    """The messages before a CLOSE with this code."""
    received, close = await client.until_close(answer=True)
    assert (close.close_code, close.close_reason) == (code, reason)
    return [one.message for one in received]


async def replies(client: Client, *types: str) -> list[Any]:
    found = await client.messages(len(types))
    assert [one["type"] for one in found] == list(types), found
    return found


async def gateway_time(seconds: float) -> None:
    """Let a deadline of the gateway go by, to see that nothing comes of it."""
    await asyncio.sleep(seconds)


@asynccontextmanager
async def posting(gateway: LocalGateway, text: str | None) -> AsyncIterator[aiohttp.ClientResponse]:
    """A backend's request for a ticket."""
    headers = {} if text is None else {"Authorization": f"Bearer {text}"}
    async with gateway.admin() as admin, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{admin.port}/ticket"
        async with session.post(url, headers=headers) as answer:
            yield answer
