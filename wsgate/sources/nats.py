"""Publications from a NATS server, for as long as it takes.

One task supervises: it opens a link to the next server of the list, lets it live, and when it is
lost or cannot be had waits a random while and takes the next server, without end.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path
from random import Random

import structlog
from structlog.typing import FilteringBoundLogger

from wsgate.backoff import full_jitter
from wsgate.protocol import is_channel_or_pattern
from wsgate.sources import Feed
from wsgate.sources.nats_limits import NatsLimits
from wsgate.sources.nats_link import NatsLink
from wsgate.sources.nats_login import Address, Login
from wsgate.sources.nats_report import NatsReporter


class NatsSource:
    """Subscribes to ``subjects`` on one of ``servers`` at a time; a :class:`~.Source`.

    What comes on ``control_subjects`` is no publication, but for the gateway itself.

    Raises ValueError for an address or a subject that can never work; whatever else is wrong is
    logged, and tried again.
    """

    def __init__(
        self,
        feed: Feed,
        servers: Sequence[str],
        subjects: Sequence[str],
        *,
        creds_file: str | Path | None = None,
        user: str | None = None,
        password: str | None = None,
        token: str | None = None,
        control_subjects: Sequence[str] = (),
        name: str = "nats",
        limits: NatsLimits | None = None,
        random: Random | None = None,
        log: FilteringBoundLogger | None = None,
    ) -> None:
        if not servers or not subjects:
            raise ValueError("a NATS source needs a server and a subject")
        for subject in subjects:
            if not is_channel_or_pattern(subject):
                raise ValueError(f"not a subject or a pattern of subjects: {subject!r}")
        self._subjects = tuple(subjects)
        self._control_subjects = tuple(control_subjects)
        self._addresses = [Address.parse(one) for one in servers]
        self._login = Login(Path(creds_file) if creds_file else None, user, password, token)
        self._name = name
        self._limits = limits or NatsLimits()
        self._random = random or Random()
        log = log or structlog.get_logger()
        self._report = NatsReporter(
            feed, name, self._subjects, self._limits, log, control_subjects=control_subjects
        )
        self._link: NatsLink | None = None
        self._received_before = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def connected(self) -> bool:
        return self._report.live

    async def replay(self, subject: str, after: int, epoch: str) -> None:
        """Core NATS keeps nothing."""

    async def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._supervise(), name=f"source-{self._name}")

    async def stop(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait({self._task})
        self._task = None
        if self._link is not None:
            await self._retire(self._link)
        self._report.stopped()

    def snapshot(self) -> dict[str, int | float | str]:
        link, report = self._link, self._report
        return {
            "connected": int(report.live),
            "received": self._received_before + (link.received if link else 0),
            "reconnects": max(0, report.connects - 1),
            "errors": report.errors,
            "pending_bytes": link.pending if link else 0,
            "denied": link.denied if link else 0,
        }

    async def _supervise(self) -> None:
        # Gateways that start together spread over the servers.
        addresses = self._random.sample(self._addresses, len(self._addresses))
        failures = 0
        for address in itertools.cycle(addresses):
            lasted_s = await self._live_through(address)
            failures = 0 if lasted_s >= self._limits.steady_s else failures + 1
            # A whole round of the list is one failure: the second server must not wait for the
            # sins of the first.
            delay_s = full_jitter(
                failures // len(addresses),
                base_s=self._limits.backoff_base_s,
                cap_s=self._limits.backoff_cap_s,
                random=self._random,
            )
            await asyncio.sleep(delay_s)

    async def _live_through(self, address: Address) -> float:
        """One connection from beginning to end; how many seconds it was live."""
        loop = asyncio.get_running_loop()
        login = address.login or self._login
        link = NatsLink(
            address,
            login,
            self._subjects,
            self._report,
            self._limits,
            control_subjects=self._control_subjects,
        )
        self._link = link
        began: float | None = None
        try:
            await link.open()
            began = loop.time()
            self._report.connected(address)
            reason = await link.watch()
        except Exception as error:
            reason = error
        if began is None:
            self._report.failed(address, reason)
        else:
            self._report.lost(address, reason)
        await self._retire(link)
        return 0.0 if began is None else loop.time() - began

    async def _retire(self, link: NatsLink) -> None:
        await link.close()
        if self._link is link:
            self._received_before += link.received
            self._link = None
