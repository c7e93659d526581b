"""What happens at a polling source, told to everyone concerned: the feed, the log, the counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from structlog.typing import FilteringBoundLogger

from wsgate.raw_json import DIGITS_MAX, LEVELS_MAX
from wsgate.sources import Feed
from wsgate.sources.poll_answer import Item
from wsgate.sources.poll_request import INTERNAL, PollFailed
from wsgate.throttle import Throttle

UNPARSED: Final = (
    f"these items are nested more than {LEVELS_MAX} levels deep, or have an integer of more than"
    f" {DIGITS_MAX} digits: have the backend leave them out"
)


class PollReporter:
    """Nothing here raises: the polling goes on, whoever does not want to hear of it.

    ``results`` counts polls by how they ended, ``refused`` items by the setting that names what
    they lack. ``trouble`` is why the feed is not live, in words; empty while all is well.
    """

    def __init__(
        self, feed: Feed, name: str, pattern: str, log_interval_s: float, log: FilteringBoundLogger
    ) -> None:
        self._feed = feed
        self._name = name
        self._pattern = pattern
        self._log = log.bind(source=name)
        self._throttle = Throttle(log_interval_s)
        self.live = False
        self.was_live = False
        self.trouble = "no answer yet"
        self.results: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.resets = 0
        self.feed_errors = 0

    # Polls, told by the source

    def answered(self, result: str, *, hole: bool) -> None:
        """A good answer is there; with a hole, something before it may be missing."""
        self.results[result] += 1
        self.trouble = ""
        missed = (self._pattern,) if hole else ()
        if self.live:
            if hole:
                self._tell(self._feed.feed_gap, self._name, missed)
            return
        self.live = self.was_live = True
        self._tell(self._feed.feed_live, self._name, missed)
        self._say("info", "poll_live", missed=list(missed))

    def failed(self, url: str, error: PollFailed) -> None:
        self.results[error.trouble.kind] += 1
        self.trouble = str(error)
        self._complain(
            f"poll_{error.trouble.kind}",
            error.trouble.kind,
            url=url,
            error=str(error),
            hint=error.trouble.hint,
        )

    def expired(self, url: str) -> None:
        """The backend has forgotten what the cursor stands for."""
        self.results["cursor_expired"] += 1
        self.resets += 1
        self._complain(
            "poll_cursor_expired",
            "expired",
            url=url,
            hint="the backend keeps less than the gateway was away for: clients are told of a gap",
        )

    def overdue(self) -> None:
        """There was no good answer for too long."""
        if self.live:
            self.live = False
            self.trouble = self.trouble or "no answer in time"
            self._tell(self._feed.feed_stale, self._name)
            self._say("warning", "poll_lost", error=self.trouble)

    def stopped(self) -> None:
        self.live = False

    # What answers have in them

    def publish(self, items: list[Item]) -> None:
        for item in items:
            self._tell(self._feed.publish, item.channel, item.payload)
        self._tell(self._feed.caught_up)

    def refuse(self, refused: Mapping[str, int]) -> None:
        for setting, count in refused.items():
            self.refused[setting] += count
            self._complain(
                "poll_items_refused",
                setting,
                setting=setting,
                items=count,
                hint=UNPARSED
                if setting == "WS_POLL_ITEMS"
                else f"what {setting} names is not there in these items, or is of no use there",
            )

    def without_cursor(self) -> None:
        self._complain(
            "poll_no_cursor",
            "cursor",
            setting="WS_POLL_CURSOR",
            hint="without a cursor the backend has to answer everything each time",
        )

    def broke(self, error: Exception) -> None:
        """The gateway's own fault."""
        self._complain("poll_broke", "broke", hint=INTERNAL.hint, exc_info=error)

    # Below

    def _tell(self, method: Callable[..., object], *args: object) -> None:
        try:
            method(*args)
        except Exception as error:
            self.feed_errors += 1
            self._complain("poll_feed_failed", "feed", exc_info=error)

    def _complain(self, event: str, key: str, **details: Any) -> None:
        held_back = self._throttle.admit(key)
        if held_back is not None:
            self._say("warning", event, held_back=held_back, **details)

    def _say(self, level: str, event: str, **details: Any) -> None:
        # Whoever reads the log may be gone, and its pipe with it.
        with suppress(Exception):
            getattr(self._log, level)(event, **details)
