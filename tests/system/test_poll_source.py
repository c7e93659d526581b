"""A source that polls, against backends over real HTTP: slow, failing, gone, hostile."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from aiohttp import web
from structlog.testing import LogCapture

from tests.support.backend import Backend, Script, body, items, status
from tests.support.feed import RecordingFeed, until
from tests.support.loop import on_loop
from wsgate.sources.poll import PollSource
from wsgate.sources.poll_answer import Shape
from wsgate.sources.poll_limits import PollLimits

PATTERN = "token.*.update"
LIVE = ("live", "poll")
STALE = ("stale", "poll")
GAP = ("gap", "poll", PATTERN)
QUICK = {"interval_s": 0.001, "backoff_base_s": 0.001, "backoff_cap_s": 0.002}
SOON_LATE = {**QUICK, "timeout_s": 0.05}
TOKEN = "token-of-the-backend-XYZZY"


class Polled:
    def __init__(self, backend: Backend, url: str, limits: dict[str, Any]) -> None:
        self.feed = RecordingFeed()
        self.log = LogCapture()
        self.source = PollSource(
            self.feed,
            url or backend.url,
            Shape(),
            token=TOKEN,
            limits=PollLimits(**limits),
            random=random.Random(1),
            log=structlog.wrap_logger(None, processors=[self.log]),
        )

    @property
    def delivered(self) -> list[tuple[str, int]]:
        """Channel and version of each publication."""
        return [
            (channel, json.loads(payload)["version"]) for channel, payload in self.feed.messages
        ]

    @property
    def results(self) -> dict[str, int]:
        return {name: count for name, count in self.source.report.results.items() if count}

    def logged(self, event: str) -> list[Any]:
        return [one for one in self.log.entries if one["event"] == event]

    async def until_results(self, result: str, count: int = 1) -> None:
        counted = self.source.report.results
        await until(lambda: counted[result] >= count, f"{count} polls that end in {result}")


@asynccontextmanager
async def polling(backend: Backend, url: str = "", **limits: Any) -> AsyncIterator[Polled]:
    polled = Polled(backend, url, {**QUICK, **limits})
    await polled.source.start()
    try:
        yield polled
    finally:
        await polled.source.stop()
        assert not polled.logged("poll_broke"), polled.log.entries
        assert TOKEN not in str(polled.log.entries)


@on_loop
async def test_each_change_is_published_as_it_came() -> None:
    async with Backend() as backend:
        text = b'{"id":"a", "version":1, "price":1.10, "wei":123456789012345678901234567890}'
        backend.scripts.append(body(b'{"items":[%s],"cursor":0}' % text))
        async with polling(backend) as polled:
            await polled.feed.until_received(text)
            assert polled.feed.messages == [("token.a.update", text)]
            assert polled.feed.events == [LIVE]
            backend.change("b", price=1)
            backend.change("b", price=2)
            await polled.feed.until(lambda: len(polled.feed.messages) == 3)
            assert polled.delivered[1:] == [("token.b.update", 1), ("token.b.update", 2)]
            assert polled.feed.caught_up_at[-1] == 3
        assert backend.seen[0].headers["Authorization"] == f"Bearer {TOKEN}"
        assert backend.seen[0].headers["Accept-Encoding"] == "identity"


@on_loop
async def test_the_cursor_comes_from_the_answer() -> None:
    async with Backend() as backend:
        backend.scripts += [
            items({"id": "a", "version": 1}, cursor="x&y=1 z"),
            items(cursor=None),
            items(cursor=2**70),
        ]
        async with polling(backend, url=backend.url + "?key=k") as polled:
            await backend.until_asked(4)
            assert backend.since[:4] == [None, "x&y=1 z", "x&y=1 z", str(2**70)]
            assert all(request.query["key"] == "k" for request in backend.seen)
            assert polled.delivered == [("token.a.update", 1)]


@on_loop
async def test_one_request_at_a_time_however_slow_the_backend() -> None:
    async with Backend() as backend:
        backend.change("a")
        async with polling(backend) as polled:
            for _ in range(5):
                await backend.until_asked()
                backend.go.clear()
                await backend.until_asked()
                await asyncio.sleep(0)
                backend.go.set()
            await polled.feed.until(lambda: polled.feed.messages)
        assert backend.at_once_most == 1
        assert polled.delivered == [("token.a.update", 1)]


@on_loop
async def test_what_has_not_changed_is_not_sent_again() -> None:
    async with Backend() as backend:
        backend.tagged = True
        backend.change("a")
        async with polling(backend) as polled:
            await until(lambda: backend.not_modified >= 3, "answers of 304")
            backend.change("a")
            await polled.feed.until(lambda: len(polled.feed.messages) == 2)
        # With another cursor it is another resource, of which nothing was tagged.
        asked = [(one.query.get("since"), "If-None-Match" in one.headers) for one in backend.seen]
        assert asked[:3] == [(None, False), ("1", False), ("1", True)]
        assert polled.results.keys() == {"new", "nothing_new"}


@pytest.mark.parametrize(
    ("script", "kind", "said"),
    [
        (status(500), "status", "the answer is 500, not 200"),
        (status(302, Location="/elsewhere"), "status", "the answer is 302, not 200"),
        (status(304), "status", "the answer is 304, not 200"),
        (status(410), "status", "the answer is 410, not 200"),
        (status(401), "denied", "the answer is 401, not 200"),
        (status(403), "denied", "the answer is 403, not 200"),
        (body(b"<html>"), "unusable", "the answer is not JSON"),
        (body(b'{"data":[]}'), "unusable", "the answer has nothing at 'items' (WS_POLL_ITEMS)"),
        (
            body(b"x", **{"Content-Encoding": "gzip"}),
            "unusable",
            "the answer is compressed, which nobody asked for",
        ),
        (body(b" " * 5000), "too_large", "the answer has more than 4096 bytes"),
    ],
)
def test_failures_are_told_apart_and_survived(script: Script, kind: str, said: str) -> None:
    @on_loop
    async def test() -> None:
        async with Backend() as backend:
            backend.change("a")
            backend.scripts += [script, script]
            async with polling(backend, bytes_max=4096) as polled:
                await polled.feed.until(lambda: polled.feed.messages)
                assert polled.results[kind] == 2
                assert polled.feed.events == [LIVE]
                (line,) = polled.logged(f"poll_{kind}")
                assert line["error"].startswith(said)
                assert line["url"] == backend.url and "WS_POLL_" in line["hint"]
                assert polled.source.snapshot()["errors"] == 2
            assert backend.since[:3] == [None] * 3

    test()


@on_loop
async def test_an_answer_without_an_end_is_given_up() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 65536)

    async with Backend() as backend:
        backend.scripts.append(endless)
        async with polling(backend, bytes_max=100_000) as polled:
            await polled.until_results("too_large")
            await polled.feed.until_events(LIVE)


@on_loop
async def test_an_answer_tagged_and_of_no_use_is_not_taken_for_known() -> None:
    async with Backend() as backend:
        backend.tagged = True
        backend.change("a")
        backend.scripts.append(body(b"{", ETag='"1"'))
        async with polling(backend) as polled:
            await polled.feed.until(lambda: polled.feed.messages)
            assert polled.delivered == [("token.a.update", 1)]


@on_loop
async def test_a_backend_that_is_away_loses_nothing() -> None:
    async with Backend() as backend:
        backend.change("a")
        async with polling(backend, **SOON_LATE) as polled:
            await polled.feed.until(lambda: polled.feed.messages)
            for _ in range(3):
                await backend.close()
                await polled.feed.until(lambda: polled.feed.events[-1] == STALE)
                assert not polled.source.connected
                assert "no connection" in polled.source.trouble
                backend.change("a")
                backend.change("b")
                count = len(polled.delivered)
                await backend.open()
                await polled.feed.until(lambda count=count: len(polled.delivered) == count + 2)  # type: ignore[misc]
                assert polled.source.connected and polled.source.trouble == ""
            assert polled.feed.events == [LIVE] + [STALE, LIVE] * 3, "and no gap"
            assert sorted(polled.delivered) == [
                *(("token.a.update", version) for version in range(1, 5)),
                *(("token.b.update", version) for version in range(1, 4)),
            ]


@on_loop
async def test_a_backend_that_hangs_is_stale_once() -> None:
    async with Backend() as backend, polling(backend, **SOON_LATE) as polled:
        await polled.feed.until_events(LIVE)
        backend.go.clear()
        await polled.feed.until_events(LIVE, STALE)
        await polled.until_results("timeout", 3)
        assert polled.source.trouble == "no whole answer within 0.05 s"
        backend.go.set()
        await polled.feed.until_events(LIVE, STALE, LIVE)


@on_loop
async def test_a_single_failure_makes_nothing_stale() -> None:
    async with Backend() as backend, polling(backend, timeout_s=60) as polled:
        await polled.feed.until_events(LIVE)
        backend.scripts += [status(503)] * 5
        await polled.until_results("status", 5)
        backend.change("a")
        await polled.feed.until(lambda: polled.feed.messages)
        assert polled.feed.events == [LIVE]


@on_loop
async def test_a_cursor_that_is_too_old_is_a_gap() -> None:
    async with Backend() as backend:
        backend.change("a")
        async with polling(backend) as polled:
            await polled.feed.until(lambda: polled.feed.messages)
            backend.go.clear()
            await backend.until_asked()
            for _ in range(3):
                backend.change("a")
            backend.forgotten = 3  # of four
            backend.go.set()
            await polled.feed.until(lambda: len(polled.feed.messages) == 2)
            assert polled.delivered == [("token.a.update", 1), ("token.a.update", 4)]
            assert polled.feed.events == [LIVE, GAP]
            assert polled.source.report.resets == 1
            backend.change("a")
            await polled.feed.until(lambda: len(polled.feed.messages) == 3)
        assert polled.feed.events == [LIVE, GAP]


@on_loop
async def test_a_cursor_that_grew_old_in_an_outage() -> None:
    async with Backend() as backend:
        backend.change("a")
        async with polling(backend, **SOON_LATE) as polled:
            await polled.feed.until(lambda: polled.feed.messages)
            await backend.close()
            await polled.feed.until_events(LIVE, STALE)
            backend.change("a")
            backend.forgotten = 2
            await backend.open()
            await polled.feed.until_events(LIVE, STALE, (*LIVE, PATTERN))


@on_loop
async def test_who_never_gives_a_cursor_may_have_a_hole_after_an_outage() -> None:
    async with Backend() as backend:
        backend.scripts += [items({"id": "a", "version": 1})] * 1000
        async with polling(backend, **SOON_LATE) as polled:
            await polled.until_results("new", 3)
            assert polled.delivered == [("token.a.update", 1)]
            (line,) = polled.logged("poll_no_cursor")
            assert line["setting"] == "WS_POLL_CURSOR"
            await backend.close()
            await polled.feed.until_events(LIVE, STALE)
            await backend.open()
            await polled.feed.until_events(LIVE, STALE, (*LIVE, PATTERN))


@on_loop
async def test_items_that_lack_something_are_counted_and_the_others_taken() -> None:
    async with Backend() as backend:
        backend.scripts.append(items({"version": 1}, {"id": "a", "version": 1}, {"id": "b"}))
        async with polling(backend) as polled:
            await polled.feed.until(lambda: polled.feed.messages)
            assert polled.delivered == [("token.a.update", 1)]
            assert polled.source.report.refused == {"WS_POLL_ID": 1, "WS_POLL_VERSION": 1}
            assert {one["setting"] for one in polled.logged("poll_items_refused")} == {
                "WS_POLL_ID",
                "WS_POLL_VERSION",
            }


@on_loop
async def test_an_item_that_no_parser_takes_stops_nothing() -> None:
    deep = f'{{"id":"a","version":1,"deep":{"[" * 100_000}{"]" * 100_000}}}'
    async with Backend() as backend:
        backend.scripts.append(body(f'{{"items":[{deep},{{"id":"b","version":1}}]}}'.encode()))
        async with polling(backend) as polled:
            await polled.feed.until(lambda: polled.feed.messages)
            assert polled.delivered == [("token.b.update", 1)]
            (line,) = polled.logged("poll_items_refused")
            assert line["setting"] == "WS_POLL_ITEMS" and "500 levels" in line["hint"]
            assert not polled.results.get("unusable")


@on_loop
async def test_trouble_that_comes_and_goes_is_logged_once_in_a_while() -> None:
    async with Backend() as backend:
        for _ in range(20):
            backend.scripts += [status(500), items(cursor=1)]
        async with polling(backend) as polled:
            await polled.until_results("status", 20)
            assert len(polled.logged("poll_status")) == 1


@pytest.mark.parametrize("seed", range(5))
def test_every_change_once_and_in_order_from_a_bad_backend(seed: int) -> None:
    """It repeats, answers in any order, fails, hangs, is away; what changed must arrive once."""
    luck = random.Random(seed)

    async def disorderly(request: web.Request) -> web.StreamResponse:
        """All that is new, and some that is not, in any order."""
        since = int(request.query.get("since", 0))
        start = luck.randint(max(0, since - 5), since)
        found = backend.changes[start:] * luck.randint(1, 2)
        luck.shuffle(found)
        return await items(*found, cursor=len(backend.changes))(request)

    async def cut(request: web.Request) -> web.StreamResponse:
        """Half an answer."""
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"items":[{"id":"a","version":99}')
        assert request.transport is not None
        request.transport.abort()
        return response

    async def late(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.2)
        return await disorderly(request)

    backend = Backend()

    @on_loop
    async def test() -> None:
        async with backend, polling(backend, timeout_s=0.1) as polled:
            for _ in range(40):
                for _ in range(luck.randint(0, 4)):
                    backend.change(luck.choice("abc"))
                bad = [disorderly, disorderly, disorderly, status(500), body(b"{"), cut, late]
                backend.scripts.append(luck.choice(bad))
                if luck.random() < 0.1:
                    await backend.close()
                    await polled.until_results("unreachable", polled.results.get("unreachable", 0))
                    await backend.open()
                await until(lambda: not backend.scripts, "the script to be over")
            backend.scripts.append(disorderly)
            await polled.feed.until(lambda: len(polled.delivered) >= len(backend.changes))
            await backend.until_asked(3)
            expected = [(f"token.{one['id']}.update", one["version"]) for one in backend.changes]
            assert sorted(polled.delivered) == sorted(expected)
            for channel in {channel for channel, _ in expected}:
                mine = [version for one, version in polled.delivered if one == channel]
                assert mine == sorted(mine)
            assert backend.at_once_most <= 2  # one of them may have been given up

    test()


@on_loop
async def test_a_feed_that_fails_ends_nothing() -> None:
    async with Backend() as backend:
        backend.change("a")
        async with polling(backend) as polled:
            polled.feed.publish = lambda *_: 1 / 0  # type: ignore[assignment]
            await polled.until_results("nothing_new")
            del polled.feed.publish  # type: ignore[method-assign]
            backend.change("a")
            await polled.feed.until(lambda: polled.feed.messages)
            assert polled.logged("poll_feed_failed")


@on_loop
async def test_it_stops_at_once_and_leaves_nothing() -> None:
    async with Backend() as backend:
        async with polling(backend) as polled:
            await polled.feed.until_events(LIVE)
            backend.go.clear()
            await backend.until_asked()
        events = list(polled.feed.events)
        assert not [one for one in asyncio.all_tasks() if one.get_name() == "source-poll"]
        backend.go.set()
        assert polled.feed.events == events
        assert not polled.source.connected
