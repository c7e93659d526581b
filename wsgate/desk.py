"""The desk: what a worker answers the supervisor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from wsgate.app import Gateway
from wsgate.auth.carriers import Credential, CredentialKind
from wsgate.auth.identity import KeysUnavailable, TokenExpired, TokenRefused, Undecided
from wsgate.channel import Refused
from wsgate.heap import give_back
from wsgate.metrics.collector import registry
from wsgate.metrics.families import plain
from wsgate.sources.remote import RemoteSource


class Desk:
    """Questions are named like the methods that answer them."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._registry = registry(gateway)
        self._answers: dict[str, Callable[[Any], Awaitable[Any]]] = {
            "ping": self._ping,
            "not_ready": self._not_ready,
            "metrics": self._metrics,
            "busiest": self._busiest,
            "channels": self._channels,
            "identify": self._identify,
            "publish": self._publish,
            "feed": self._feed,
            "give_back": self._give_back,
            "leave": self._leave,
            "drain": self._drain,
        }

    async def answer(self, question: str, argument: Any) -> Any:
        """Raises Refused for what nobody knows here."""
        answer = self._answers.get(question)
        if answer is None:
            raise Refused(f"nobody here knows {question!r}")
        return await answer(argument)

    async def _ping(self, _: Any) -> None:
        return None

    async def _not_ready(self, _: Any) -> list[str]:
        """Why no new clients should be sent here."""
        return self._gateway.not_ready()

    async def _metrics(self, _: Any) -> list[Any]:
        return plain(self._registry)

    async def _busiest(self, top: int) -> list[tuple[str, int]]:
        """The names of the channels published most, at most ``top``, with how often."""
        return self._gateway.hub.core.busiest(top)

    async def _channels(self, names: list[str]) -> list[dict[str, Any] | None]:
        """What is known of each of these; None of one that is not known here."""
        return [self._channel(name) for name in names]

    def _channel(self, name: str) -> dict[str, Any] | None:
        hub = self._gateway.hub
        facts = hub.core.facts(name)
        if facts is None:
            return None
        rule = hub.rules[facts.pop("rule")]
        return {"type": rule.type, "kind": rule.kind.value, **facts}

    async def _identify(self, token: str) -> dict[str, Any]:
        """Whose token it is: {"identity"}, or {"refused"} or {"unavailable"} with the reason."""
        authenticator = self._gateway.authenticator
        if authenticator is None:
            raise Refused("this gateway asks nobody for a token")
        credential = Credential(CredentialKind.TOKEN, token)
        try:
            try:
                identity = authenticator.authenticate(credential)
            except Undecided:
                identity = await authenticator.authenticate_later(credential)
        except (TokenExpired, TokenRefused) as error:
            return {"refused": str(error)}
        except KeysUnavailable as error:
            return {"unavailable": str(error)}
        return {"identity": identity.to_plain()}

    async def _publish(self, publications: list[list[str]]) -> int:
        """Each a subject and a payload; how many of them the hub took.

        Without a wait, and so are the others about publications: they are done in the order in
        which they were asked.
        """
        hub = self._gateway.hub
        taken = sum([hub.publish(subject, text.encode()) for subject, text in publications])
        hub.caught_up()
        return taken

    async def _feed(self, argument: tuple[str, str, list[str]]) -> None:
        """What a source in the supervisor says of itself, or the supervisor of all it tells."""
        name, news, missed = argument
        if news == "gap":
            self._gateway.hub.feed_gap(name, missed)
        for source in self._gateway.sources:
            if isinstance(source, RemoteSource) and source.name == name and news != "gap":
                source.told(news == "live", missed)

    async def _give_back(self, _: Any) -> bool:
        """Memory that is free, to the system."""
        return give_back()

    async def _leave(self, _: Any) -> None:
        """Call itself unready, and go on."""
        self._gateway.leave()

    async def _drain(self, argument: dict[str, float]) -> None:
        """Accept no more, and send every client elsewhere, spread over that many seconds."""
        await self._gateway.drain(argument["spread_s"])
