"""Publications to a NATS server, confirmed by it, over a connection that is had again when lost.

The counterpart of ``nats.py``, with the same links to a server: what can go wrong with one is in
``docs/design/sources.md``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import structlog
from structlog.typing import FilteringBoundLogger

from wsgate.sources.nats_commands import publish_command, publish_head
from wsgate.sources.nats_limits import NatsLimits
from wsgate.sources.nats_link import NatsLink
from wsgate.sources.nats_login import Address, Login
from wsgate.sources.nats_report import diagnose
from wsgate.sources.nats_rounds import go_round
from wsgate.throttle import Throttle

UNCONFIRMED = "sent, and not confirmed: nobody knows whether it was published"


class NatsAway(Exception):
    """There is no server to publish to, and nothing was sent."""


class NatsPublisher:
    """Publishes on one of ``servers`` at a time, from :meth:`start` to :meth:`stop`.

    Raises ValueError for an address that can never work.
    """

    def __init__(
        self,
        servers: Sequence[str],
        *,
        creds_file: Path | None = None,
        user: str | None = None,
        password: str | None = None,
        token: str | None = None,
        limits: NatsLimits | None = None,
        random: Random | None = None,
        log: FilteringBoundLogger | None = None,
    ) -> None:
        self._addresses = [Address.parse(one) for one in servers]
        self._login = Login(creds_file, user, password, token)
        self._limits = limits or NatsLimits()
        self._random = random or Random()
        self._log = (log or structlog.get_logger()).bind(source="publisher")
        self._throttle = Throttle(self._limits.log_interval_s)
        self._link: NatsLink | None = None  # one that is open
        self._turn = asyncio.Lock()  # so that an objection can be told whose it is
        self._objections: list[str] = []
        self._task: asyncio.Task[None] | None = None
        self.errors = 0
        self.connects = 0

    @property
    def connected(self) -> bool:
        return self._link is not None

    async def start(self) -> None:
        """Returns at once; connects in the background."""
        if self._task is None:
            self._task = asyncio.create_task(self._supervise(), name="nats-publisher")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    async def publish(self, publications: Sequence[tuple[str, bytes]]) -> Mapping[int, str]:
        """Return when the server has seen them: the places of those not published, and why not.

        Raises NatsAway.
        """
        async with self._turn:
            link = self._link
            if link is None:
                raise NatsAway("no NATS server is connected")
            fit, failed = [], {}
            for place, (_, payload) in enumerate(publications):
                if len(payload) > link.payload_bytes_max:
                    failed[place] = f"NATS takes {link.payload_bytes_max} bytes at most"
                else:
                    fit.append(place)
            self._objections.clear()
            try:
                link.write(b"".join([_command(*publications[place]) for place in fit]))
                await link.settle()
            except Exception as error:
                self._complain("nats_publish_failed", "publish", error=_text(error))
                return failed | dict.fromkeys(fit, UNCONFIRMED)
            return failed | {
                place: f"NATS refuses it: {objection}"
                for place in fit
                for objection in self._objections
                # It says the subject within quotes, and nats-py in lower case.
                if f'"{publications[place][0].lower()}"' in objection.lower()
            }

    async def _supervise(self) -> None:
        await go_round(self._addresses, self._live_through, self._limits, self._random)

    async def _live_through(self, address: Address) -> float:
        """One connection from beginning to end; how many seconds it was there."""
        loop = asyncio.get_running_loop()
        began_s = None
        link = NatsLink(address, address.login or self._login, (), self, self._limits)
        try:
            await link.open()
            began_s = loop.time()
            self._link = link
            self.connects += 1
            self._log.info("nats_connected", server=address.url)
            reason = await link.watch()
        except Exception as error:
            reason = error
        finally:
            self._link = None
            await link.close()
        self.errors += 1
        trouble = diagnose(reason)
        if began_s is None:
            self._complain(
                trouble.event,
                address.url,
                server=address.url,
                error=_text(reason),
                hint=trouble.hint,
            )
            return 0.0
        self._log.warning("nats_lost", server=address.url, error=_text(reason))
        return loop.time() - began_s

    def _complain(self, event: str, key: str, **details: object) -> None:
        held_back = self._throttle.admit((event, key))
        if held_back is not None:
            self._log.error(event, held_back=held_back, **details)

    # The owner of a link that asks for no messages

    def receive(
        self, subject: bytes, reply: bytes, payload: bytes, header: bytes | None
    ) -> None: ...
    def receive_control(
        self, subject: bytes, reply: bytes, payload: bytes, header: bytes | None
    ) -> None: ...
    def all_received(self) -> None: ...
    def denied(self, subject: str) -> None: ...
    def granted(self, subject: str) -> None: ...

    def complained(self, error: Exception) -> None:
        self.errors += 1
        self._objections.append(_text(error))


def _command(subject: str, payload: bytes) -> bytes:
    return publish_command(publish_head(subject), payload)


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
