"""The supervisor: what operators see as the gateway. It serves no client itself."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import structlog

from wsgate.admin import Admin
from wsgate.blueprint import Blueprint, PollBlueprint
from wsgate.board import Column
from wsgate.channel import Refused
from wsgate.limits import DRAIN_LEAST_S
from wsgate.metrics.families import plain
from wsgate.metrics.process import process_registry
from wsgate.supervisor.busiest import busiest
from wsgate.supervisor.fleet import Fleet
from wsgate.supervisor.load import NO_LIMITS, LoadLimits
from wsgate.supervisor.measures import (
    fleet_metrics,
    poll_metrics,
    publishing_metrics,
    relay_metrics,
)
from wsgate.supervisor.merged import Merged
from wsgate.supervisor.publishing import Publishing
from wsgate.supervisor.relay import Relay
from wsgate.supervisor.tickets import TicketOffice

if TYPE_CHECKING:
    from wsgate.sources.poll import PollSource

log = structlog.get_logger("wsgate.supervisor")

# Of the time that a drain may take, for closes that are not answered and what comes after; half of
# it where there is little.
CLOSING_S: Final = 9.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """``delay_s``: how long a load balancer may take to notice. ``deadline_s`` is for all of it.

    ``reconnects_per_s`` is what the other gateways can accept of those who are sent away.
    """

    delay_s: float
    deadline_s: float
    reconnects_per_s: float

    def spread_s(self, connections: int, *, delay_s: float | None = None) -> float:
        """Over how long so many are sent away."""
        left_s = self.deadline_s - (self.delay_s if delay_s is None else delay_s)
        closing_s = min(CLOSING_S, max(DRAIN_LEAST_S, left_s / 2))
        return max(0.0, min(connections / self.reconnects_per_s, left_s - closing_s))


class Supervisor:
    """``listening``: a socket for each worker. ``ticket_ttl_s`` is None where nobody is asked.

    ``poll``: whom to ask what is new. ``publish_token``: of who may publish on the admin port.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        listening: list[socket.socket],
        admin_host: str,
        admin_port: int,
        drain: Drain,
        *,
        load_limits: LoadLimits = NO_LIMITS,
        ticket_ttl_s: float | None = None,
        poll: PollBlueprint | None = None,
        publish_token: str | None = None,
    ) -> None:
        self._listening = listening
        self._drain = drain
        self._relay = Relay(lambda: self._fleet.blueprint.rules)
        self._fleet = Fleet(blueprint, listening, load_limits, self._answer, self._relay)
        self._tickets = None if ticket_ttl_s is None else TicketOffice(self._fleet, ticket_ttl_s)
        self._publishing: Publishing | None = None
        if publish_token is not None:
            self._publishing = Publishing(publish_token, self._relay, lambda: self._fleet.blueprint)
        self._admin = Admin(admin_host, admin_port, self, self._tickets, self._publishing)
        self._poll: PollSource | None = None
        if poll is not None:
            from wsgate.supervisor.polling import poll_source

            (name,) = blueprint.remote_sources
            self._poll = poll_source(poll, self._relay, name)
        self._registry = process_registry()
        self._starting = True
        self._leaving = False
        self._restart: asyncio.Task[None] | None = None
        self._wanted: Blueprint | None = None  # of the workers that are to replace these

    @property
    def port(self) -> int:
        """Where clients connect."""
        return int(self._listening[0].getsockname()[1])

    @property
    def admin_port(self) -> int:
        return self._admin.port

    async def start(self) -> None:
        """Return when all workers serve; OSError says what stands in the way."""
        await self._admin.start()
        try:
            # Before the workers, which then begin with what the backend has.
            if self._poll is not None:
                await self._poll.start()
            if self._publishing is not None:
                await self._publishing.follow()
            await self._fleet.start()
        except BaseException:
            await self._stop_publishing()
            await self._admin.stop()
            raise
        self._starting = False

    def publish(self, subject: str, payload: bytes) -> None:
        """To all workers; the payload is JSON."""
        self._relay.publish(subject, payload)
        self._relay.caught_up()

    def restart(self, blueprint: Blueprint) -> None:
        """Replace all workers by such, one after the other; refuses nobody.

        While that is done for other settings, it is done for these afterwards.
        """
        # Which sources are here is settled at the start: workers must not wait for others.
        sources = self._fleet.blueprint.remote_sources
        self._wanted = replace(blueprint, remote_sources=sources)
        if self._restart is None or self._restart.done():
            self._restart = asyncio.create_task(self._replace_workers(), name="restart")
        else:
            log.info("workers are being replaced already, and will be once more after that")

    async def _replace_workers(self) -> None:
        while self._wanted is not None:
            blueprint, self._wanted = self._wanted, None
            spread_s = self._drain.spread_s(self._connections, delay_s=0.0)
            deadline_s = self._drain.deadline_s
            await self._fleet.restart(blueprint, self._in_force, spread_s, deadline_s)

    async def _in_force(self) -> None:
        """The fleet has another blueprint."""
        if self._publishing is not None:
            await self._publishing.follow()

    async def stop(self, *, hurry: bool = False) -> None:
        """Send all clients elsewhere, and end. In a hurry no load balancer is waited for."""
        self._leaving = True
        delay_s = 0.0 if hurry else self._drain.delay_s
        await self._end_restart()
        await self._fleet.leave()
        log.info("stopping", connections=self._connections, delay_s=delay_s)
        await asyncio.sleep(delay_s)
        spread_s = self._drain.spread_s(self._connections, delay_s=delay_s)
        self._close_listening()  # else who comes now would wait in the kernel for nobody
        await self._fleet.drain(spread_s, self._drain.deadline_s - delay_s)
        await self._close()
        log.info("stopped")

    async def kill(self) -> None:
        """End at once."""
        self._leaving = True
        await self._end_restart()
        await self._fleet.kill()
        await self._close()

    async def _close(self) -> None:
        await self._admin.stop()
        await self._stop_publishing()
        self._close_listening()

    async def _stop_publishing(self) -> None:
        """Tell workers no more."""
        if self._poll is not None:
            await self._poll.stop()
        if self._publishing is not None:
            await self._publishing.stop()
        self._relay.stop()

    def _close_listening(self) -> None:
        for one in self._listening:
            one.close()

    async def _end_restart(self) -> None:
        if self._restart is not None:
            self._restart.cancel()
            await asyncio.wait({self._restart})

    @property
    def _connections(self) -> int:
        return self._fleet.board.total(Column.CONNECTIONS)

    # ---------------------------------------------------------------------- what operators are told

    async def ill(self) -> list[str]:
        if self._starting or self._leaving or self._fleet.workers:
            return []
        return ["no worker serves clients"]

    async def not_ready(self) -> list[str]:
        """Of the workers that serve one is enough: the others are about to be replaced."""
        if self._leaving:
            return ["stopping"]
        answers = await self._fleet.ask_all("not_ready")
        if any(not reasons for _, reasons in answers):
            return []
        told = dict.fromkeys(
            self._explained(reason) for _, reasons in answers for reason in reasons
        )
        return list(told) or ["no worker serves clients"]

    def _explained(self, reason: str) -> str:
        """Workers know only that a source is not connected; clients may read that, and no more."""
        if self._poll is not None and self._poll.trouble and reason.startswith(self._poll.name):
            return f"{reason} ({self._poll.trouble})"
        return reason

    async def metrics(self) -> Merged:
        answers = await self._fleet.ask_all("metrics")
        families = [(str(number), found) for number, found in answers]
        families.append(("supervisor", plain(self._registry)))
        tickets = None if self._tickets is None else self._tickets.tickets
        own = chain(
            fleet_metrics(self._fleet, tickets),
            relay_metrics(self._relay),
            poll_metrics(self._poll),
            publishing_metrics(self._publishing),
        )
        return Merged(families, own)

    async def busiest(self, top: int) -> list[dict[str, Any]]:
        return await busiest(self._fleet, top)

    # ------------------------------------------------------------------------ what workers are told

    async def _answer(self, question: str, argument: Any) -> Any:
        if question == "redeem" and self._tickets is not None:
            return self._tickets.redeem(argument)
        raise Refused(f"the supervisor does not know {question!r}")
