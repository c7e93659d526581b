"""A core with connections and channels of any number, and work for it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle, islice

from wsgate.core.fanout import Fanout
from wsgate.core.sink import NullSink, Sink
from wsgate.delta import squeeze

RULES = [("token_update", "state", "gap"), ("token_comment", "event", "gap")]
RULE_OF = {"state": 0, "event": 1}
SUFFIX_OF = {"state": "update", "event": "comment"}
ALL = 1 << 30
PAYLOAD = b'{"price":"0.000123","text":"' + b"x" * 470 + b'"}'


def core(sink: Sink | None = None) -> Fanout:
    """An empty core; without `sink` what it writes goes nowhere."""
    return Fanout(
        NullSink() if sink is None else sink,
        RULES,
        lambda mask: b'{"type":"gap"}',
        channels_max=1 << 20,
        events_bytes_max=1 << 24,
        events_count_max=4096,
        control_bytes_max=1 << 16,
        squeeze=squeeze,
    )


def name_of(kind: str, number: int) -> str:
    return f"token.c{number}.{SUFFIX_OF[kind]}"


def channel(fanout: Fanout, kind: str, number: int, handles: Iterable[int]) -> int:
    """The id of a channel to which `handles` are subscribed from now on."""
    name, rule = name_of(kind, number), RULE_OF[kind]
    for handle in handles:
        fanout.subscribe(handle, name, rule)
    return fanout.open_channel(name, rule)


class Tour:
    """Goes round the channels, and on where it stopped, so that large shapes find cold memory."""

    def __init__(self, fanout: Fanout, channels: Iterable[int], publications: int) -> None:
        self._fanout = fanout
        self._channels = cycle(list(channels))
        self.publications = publications

    def __call__(self) -> None:
        publish, flush = self._fanout.publish, self._fanout.flush
        for id in islice(self._channels, self.publications):
            publish(id, PAYLOAD)
            flush(0, ALL)


def delivered(fanout: Fanout) -> int:
    return fanout.counters.snapshot()["deliveries"]
