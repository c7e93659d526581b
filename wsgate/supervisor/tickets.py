"""Tickets: each is good once, whichever worker is shown it, so the supervisor holds them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

import orjson
from aiohttp import web

from wsgate.admin import NO_STORE, refusal
from wsgate.auth.identity import Identity
from wsgate.auth.tickets import Tickets
from wsgate.channel import Refused


class Workers(Protocol):
    async def ask_any(self, question: str, argument: Any = None) -> Any: ...


class TicketOffice:
    """Gives a ticket for a token, so that the token itself need not stand in a URL."""

    def __init__(
        self, workers: Workers, ttl_s: float, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._workers = workers
        self._ttl_s = ttl_s
        self._clock = clock
        self.tickets = Tickets()

    def redeem(self, ticket: str) -> dict[str, Any] | None:
        """Whose it is; None if it is no ticket, or none any more."""
        identity = self.tickets.redeem(ticket, self._clock())
        return None if identity is None else identity.to_plain()

    async def serve(self, request: web.Request) -> web.Response:
        """201 with the ticket, 401 for a token that is no good, 503 if nobody can tell now."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return refusal(401, "give the client's token, as Authorization: Bearer <token>")
        try:
            found = await self._workers.ask_any("identify", token.strip())
        except Refused as error:
            return refusal(503, str(error))
        if "refused" in found:
            return refusal(401, found["refused"])
        if "unavailable" in found:
            return refusal(503, found["unavailable"])
        identity = Identity.from_plain(found["identity"])
        return web.json_response(
            {
                "ticket": self.tickets.issue(identity, self._ttl_s, self._clock()),
                "expires_in": self._ttl_s,
            },
            status=201,
            headers=NO_STORE,
            dumps=lambda value: orjson.dumps(value).decode(),
        )
