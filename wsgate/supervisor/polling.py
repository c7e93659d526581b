"""The source that polls, made of what the settings say: loaded only where there is one."""

from __future__ import annotations

from wsgate.blueprint import PollBlueprint
from wsgate.raw_json import path_of
from wsgate.sources import Feed
from wsgate.sources.poll import PollSource
from wsgate.sources.poll_answer import Shape
from wsgate.sources.poll_limits import PollLimits


def poll_source(poll: PollBlueprint, feed: Feed, name: str) -> PollSource:
    return PollSource(
        feed,
        poll.url,
        Shape(
            items=path_of(poll.items),
            id=path_of(poll.id),
            version=path_of(poll.version),
            cursor=path_of(poll.cursor),
            channel=poll.channel,
        ),
        token=poll.token,
        name=name,
        limits=PollLimits(
            interval_s=poll.interval_s,
            timeout_s=poll.timeout_s,
            bytes_max=poll.bytes_max,
            ids_max=poll.ids_max,
        ),
    )
