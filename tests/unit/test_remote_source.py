"""What is left in a worker of a source that lives in the supervisor."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.feed import RecordingFeed
from wsgate.sources.remote import RemoteSource


@pytest.mark.parametrize("live", [True, False])
def test_it_says_what_it_is_told_and_nothing_twice(live: bool) -> None:
    feed = RecordingFeed()
    source = RemoteSource(feed, "poll", live=live)
    assert not source.connected, "before its start"
    asyncio.run(source.start())
    assert source.connected is live
    for news, missed in [(True, []), (True, []), (False, []), (False, []), (True, ["a.*"])]:
        source.told(news, missed)
        assert source.connected is news
        assert source.snapshot() == {"connected": int(news)}
    assert feed.events == [("live", "poll"), ("stale", "poll"), ("live", "poll", "a.*")]
    asyncio.run(source.stop())
    assert not source.connected
