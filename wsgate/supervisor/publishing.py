"""``POST /publish``: publications from whoever has the token, to NATS or else to the workers."""

from __future__ import annotations

import asyncio
import hmac
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson
from aiohttp import web

from wsgate.admin import BODY_BYTES_MAX, NO_STORE, refusal
from wsgate.blueprint import Blueprint, NatsBlueprint
from wsgate.supervisor.publications import BadPublications, read

if TYPE_CHECKING:  # nats-py is loaded where there is NATS to publish to
    from wsgate.sources.nats_publisher import NatsPublisher

AT_ONCE_MAX: Final = 16  # more could not be published sooner, and each holds its body
BODY_TIMEOUT_S: Final = 10.0


class Local(Protocol):
    """The workers of this gateway."""

    def publish(self, subject: str, payload: bytes) -> bool: ...
    def caught_up(self) -> None: ...


class Publishing:
    """Asks for a ``token``. ``blueprint`` has the rules, and the NATS, in force now."""

    STATUSES: Final = (200, 400, 401, 408, 413, 503)

    def __init__(self, token: str, local: Local, blueprint: Callable[[], Blueprint]) -> None:
        self._token = token.encode()
        self._local = local
        self._blueprint = blueprint
        self._nats: NatsBlueprint | None = None  # whom the publisher is for
        self._at_once = 0
        self.publisher: NatsPublisher | None = None
        self.answers: Counter[int] = Counter()
        self.published = 0
        self.failed = 0

    async def follow(self) -> None:
        """Publish where the blueprint says from now on."""
        nats = self._blueprint().nats
        if nats == self._nats:
            return
        await self.stop()
        if nats is not None:
            self.publisher = _publisher(nats)
            await self.publisher.start()
        self._nats = nats

    async def stop(self) -> None:
        publisher, self.publisher, self._nats = self.publisher, None, None
        if publisher is not None:
            await publisher.stop()

    async def serve(self, request: web.Request) -> web.Response:
        """200 if all is published. Else the reason, how many are, and which are not and why."""
        response = await self._respond(request)
        self.answers[response.status] += 1
        return response

    async def _respond(self, request: web.Request) -> web.Response:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        given = token.strip().encode("utf-8", "surrogateescape")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given, self._token):
            return refusal(401, "give WS_PUBLISH_TOKEN, as Authorization: Bearer <token>")
        if self._at_once >= AT_ONCE_MAX:
            return refusal(503, f"{AT_ONCE_MAX} requests are under way: come back later")
        self._at_once += 1
        try:
            return await self._publish(request)
        finally:
            self._at_once -= 1

    async def _publish(self, request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await request.read()
            blueprint = self._blueprint()
            subjects = None if blueprint.nats is None else blueprint.nats.subjects
            publications = read(body, blueprint.rules, subjects)
        except web.HTTPRequestEntityTooLarge:
            return refusal(413, f"the body has more than {BODY_BYTES_MAX} bytes")
        except web.RequestPayloadError:
            return refusal(400, "the body cannot be decoded as its head says")
        except TimeoutError:
            return refusal(408, f"the body was not there within {BODY_TIMEOUT_S:g} s")
        except BadPublications as error:
            return _answer(400, 0, error.errors, str(error))
        if blueprint.nats is None:
            failed = self._to_workers(publications)
        else:
            failed = await self._to_nats(publications)
        published = len(publications) - len(failed)
        self.failed += len(failed)
        self.published += published
        return _answer(503 if failed else 200, published, failed)

    def _to_workers(self, publications: Sequence[tuple[str, bytes]]) -> Mapping[int, str]:
        for subject, payload in publications:
            self._local.publish(subject, payload)
        self._local.caught_up()
        return {}

    async def _to_nats(self, publications: Sequence[tuple[str, bytes]]) -> Mapping[int, str]:
        from wsgate.sources.nats_publisher import NatsAway

        try:
            if self.publisher is None:
                raise NatsAway("the settings of NATS are being read anew")
            return await self.publisher.publish(publications)
        except NatsAway as error:
            return dict.fromkeys(range(len(publications)), str(error))


def _answer(
    status: int, published: int, failed: Mapping[int, str], error: str = ""
) -> web.Response:
    """``published`` says how many are for sure; all others are among the errors."""
    found: dict[str, Any] = {"published": published}
    if status != 200:
        found["error"] = error or "not all was published: see errors"
        found["errors"] = [
            {"publication": place, "error": failed[place]} for place in sorted(failed)
        ]
    return web.Response(
        status=status,
        body=orjson.dumps(found),
        content_type="application/json",
        headers=NO_STORE,
    )


def _publisher(nats: NatsBlueprint) -> NatsPublisher:
    from wsgate.sources.nats_publisher import NatsPublisher

    return NatsPublisher(
        nats.servers,
        **nats.credentials,
    )
