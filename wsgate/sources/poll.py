"""Publications from a backend that is asked, again and again, what is new.

One task polls: a request, what it brought, a wait, without end. It runs where all workers can be
told, in the supervisor, so that a backend is asked once for each host.
"""

from __future__ import annotations

import asyncio
import time
from random import Random

import structlog
from structlog.typing import FilteringBoundLogger

from wsgate.backoff import full_jitter
from wsgate.sources import Feed
from wsgate.sources.poll_answer import AnswerUnusable, Shape, read
from wsgate.sources.poll_limits import PollLimits
from wsgate.sources.poll_report import PollReporter
from wsgate.sources.poll_request import (
    INTERNAL,
    UNUSABLE,
    CursorExpired,
    PollFailed,
    PollRequest,
)
from wsgate.sources.poll_versions import Versions


class PollSource:
    """Asks ``url`` for items of this ``shape``; a :class:`~.Source`."""

    def __init__(
        self,
        feed: Feed,
        url: str,
        shape: Shape,
        *,
        token: str | None = None,
        name: str = "poll",
        limits: PollLimits | None = None,
        random: Random | None = None,
        log: FilteringBoundLogger | None = None,
    ) -> None:
        self._name = name
        self._shape = shape
        self._limits = limits or PollLimits()
        self._random = random or Random()
        self._request = PollRequest(url, self._limits, token=token)
        self.versions = Versions(self._limits.ids_max)
        self.report = PollReporter(
            feed, name, shape.pattern, self._limits.log_interval_s, log or structlog.get_logger()
        )
        self._cursor: str | None = None
        self._hole = False  # something before the next answer may be missing
        self._failures = 0
        self._answered_s: float | None = None
        self._overdue: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def connected(self) -> bool:
        return self.report.live

    @property
    def trouble(self) -> str:
        """Why it is not connected, or about to be not; empty while all is well."""
        return self.report.trouble

    @property
    def answer_age_s(self) -> float:
        """Since the last good answer; -1 before the first."""
        return -1.0 if self._answered_s is None else time.monotonic() - self._answered_s

    async def replay(self, subject: str, after: int, epoch: str) -> None:
        """Versions are the backend's, and no positions: nothing is kept by them."""

    async def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._poll(), name=f"source-{self._name}")

    async def stop(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait({self._task})
        self._task = None
        if self._overdue is not None:
            self._overdue.cancel()
        await self._request.close()
        self.report.stopped()

    def snapshot(self) -> dict[str, int | float | str]:
        results = self.report.results
        good = results["new"] + results["nothing_new"]
        return {
            "connected": int(self.report.live),
            "received": self.versions.taken,
            "errors": results.total() - good + self.report.feed_errors,
        }

    async def _poll(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            if await self._ask():
                delay_s = began_s + self._limits.interval_s - loop.time()
            else:
                delay_s = full_jitter(
                    self._failures - 1,
                    base_s=max(self._limits.backoff_base_s, self._limits.interval_s),
                    cap_s=max(self._limits.backoff_cap_s, self._limits.interval_s),
                    random=self._random,
                )
            await asyncio.sleep(max(0.0, delay_s))

    async def _ask(self) -> bool:
        """Once; whether all is well."""
        asked_with = self._cursor
        try:
            body = await self._request.fetch(asked_with)
            if body is None:
                self._good("nothing_new")
            else:
                self._take(body)
        except CursorExpired:
            self._cursor = None
            self._hole = True
            self.report.expired(self._request.name)
        except PollFailed as error:
            self.report.failed(self._request.name, error)
        except AnswerUnusable as error:
            # What it was tagged with must not count as known.
            await self._request.close()
            self.report.failed(self._request.name, PollFailed(UNUSABLE, str(error)))
        except Exception as error:
            await self._request.close()
            self.report.broke(error)
            self.report.failed(
                self._request.name, PollFailed(INTERNAL, f"{type(error).__name__} in the gateway")
            )
        else:
            # A backend that forgets each of its cursors at once is not to be hammered either.
            if asked_with is not None or self._cursor is None:
                self._failures = 0
            return True
        self._failures += 1
        return False

    def _take(self, body: bytes) -> None:
        answer = read(body, self._shape)
        self._good("new" if answer.items else "nothing_new")
        if answer.refused:
            self.report.refuse(answer.refused)
        if answer.cursor is None and self._cursor is None and answer.items:
            self.report.without_cursor()
        news = self.versions.news(answer.items)
        if news:
            self.report.publish(news)
        if answer.cursor is not None:
            self._cursor = answer.cursor

    def _good(self, result: str) -> None:
        """A good answer: what happened until now is known, or there is a hole."""
        # Who asks without a cursor hears what is, not what was.
        late = self.report.was_live and not self.report.live and self._cursor is None
        self.report.answered(result, hole=self._hole or late)
        self._hole = False
        self._answered_s = time.monotonic()
        if self._overdue is not None:
            self._overdue.cancel()
        self._overdue = asyncio.get_running_loop().call_later(
            self._limits.interval_s + self._limits.timeout_s, self.report.overdue
        )
