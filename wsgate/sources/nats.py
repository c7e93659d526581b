"""Publications from a NATS server, for as long as it takes.

From streams of JetStream those that they keep, the others over core NATS.

One task supervises: it opens a link to the next server of the list, lets it live, and when it is
lost or cannot be had waits a random while and takes the next server, without end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from random import Random

import structlog
from structlog.typing import FilteringBoundLogger

from wsgate.protocol import is_channel_or_pattern
from wsgate.rules import DEFAULT_RULES, Rules
from wsgate.sources import Feed
from wsgate.sources.history import History, Kinds
from wsgate.sources.jetstream.follower import Surroundings
from wsgate.sources.jetstream.report import StreamReporter
from wsgate.sources.jetstream.streams import Streams
from wsgate.sources.nats_limits import NatsLimits
from wsgate.sources.nats_link import NatsLink, end
from wsgate.sources.nats_login import Address, Login
from wsgate.sources.nats_report import NatsReporter
from wsgate.sources.nats_rounds import go_round


class NatsSource:
    """Subscribes to ``subjects`` on one of ``servers`` at a time; a :class:`~.Source`.

    What comes on ``control_subjects`` is no publication, but for the gateway itself. It also takes
    what is to be published, on the same connection; without ``echo`` none of that comes back.
    ``gather_s`` is how long nothing is read after a read, so that the next one has more.

    ``streams`` names the streams to take subjects from, in this order; None means those that keep
    them, and () none. ``rules`` say which subjects are events, and have a ``history``.

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
        echo: bool = True,
        gather_s: float = 0.0,
        streams: Sequence[str] | None = None,
        rules: Rules = DEFAULT_RULES,
        history: History | None = None,
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
        self._echo = echo
        self._gather_s = gather_s
        self._name = name
        self._limits = limits or NatsLimits()
        self._random = random or Random()
        log = log or structlog.get_logger()
        self._report = NatsReporter(
            feed, name, self._subjects, self._limits, log, control_subjects=control_subjects
        )
        self._streams: Streams | None = None
        if streams is None or streams:
            around = Surroundings(
                feed=feed,
                report=StreamReporter(feed, name, self._report),
                kinds=Kinds(rules),
                history=history or History(),
                limits=self._limits,
                random=self._random,
            )
            self._streams = Streams(self._subjects, streams, self._report, around)
        self._link: NatsLink | None = None
        self._received_before = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def connected(self) -> bool:
        return self._report.live

    async def replay(self, subject: str, after: int, epoch: str) -> list[tuple[int, bytes]] | None:
        """From the stream that keeps the subject: core NATS keeps nothing."""
        return None if self._streams is None else await self._streams.replay(subject, after, epoch)

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
            **(self._streams.snapshot() if self._streams else {}),
        }

    # Publishing

    def write(self, commands: bytes) -> None:
        """Whole commands for the server, such as PUB; lost while there is no connection."""
        if self._link is not None:
            self._link.write(commands)

    @property
    def unwritten_bytes(self) -> int:
        """What was written and the kernel does not take yet: if it grows, the server is slow."""
        return 0 if self._link is None else self._link.unwritten

    async def end_input(self) -> None:
        """Hand over what the server has for us by now, and then nothing more.

        Raises ConnectionError or what lost the connection; the next one begins with input again.
        """
        await self._connected_link().end_input()

    async def settle(self) -> None:
        """Return when the server has all that was written; raises like ``end_input``."""
        await self._connected_link().settle()

    def _connected_link(self) -> NatsLink:
        if self._link is None or not self.connected:
            raise ConnectionError("not connected")
        return self._link

    async def _supervise(self) -> None:
        await go_round(self._addresses, self._live_through, self._limits, self._random)

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
            echo=self._echo,
            gather_s=self._gather_s,
        )
        self._link = link
        began: float | None = None
        try:
            watch = await self._open(link)
            try:
                missed = await self._filled(link)
                began = loop.time()
                self._report.connected(address, missed)
                reason = await watch
            finally:
                await end(watch)
        except Exception as error:
            reason = error
        if began is None:
            self._report.failed(address, reason)
        else:
            self._report.lost(address, reason)
        await self._retire(link)
        return 0.0 if began is None else loop.time() - began

    async def _open(self, link: NatsLink) -> asyncio.Task[Exception]:
        """Connect and subscribe; the task that watches the link."""
        await link.connect()
        rest = self._subjects
        if self._streams is not None:
            rest = await self._streams.attach(link)
        await link.subscribe(rest)
        return asyncio.create_task(link.watch())

    async def _filled(self, link: NatsLink) -> Sequence[str]:
        """Return when all streams are where the present is; what may be missing since last time."""
        streams = self._streams
        if streams is None:
            return self._subjects
        streams.follow()
        await link.unless_lost(streams.filled())
        streams.announce()
        return streams.rest

    async def _retire(self, link: NatsLink) -> None:
        if self._streams is not None:
            await self._streams.detach()
        await link.close()
        if self._link is link:
            self._received_before += link.received
            self._link = None
