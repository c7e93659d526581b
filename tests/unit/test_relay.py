"""What the supervisor tells workers: all of it, in order, and in bounded memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.feed import until
from tests.support.loop import on_loop
from wsgate.channel import ChannelClosed
from wsgate.rules import DEFAULT_RULES
from wsgate.supervisor.last_values import OVERHEAD_BYTES, LastValues
from wsgate.supervisor.relay import BACKLOG_BYTES_MAX, CHUNK_BYTES, Relay

STATE = "token.a.update"
EVENT = "token.a.comment"


class Worker:
    """Has read everything unless it is ``stuck``."""

    number = 0

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.backlog_bytes = 0
        self.reads = asyncio.Event()
        self.reads.set()
        self.gone = False

    def stick(self) -> None:
        self.backlog_bytes = BACKLOG_BYTES_MAX + 1
        self.reads.clear()

    def read(self) -> None:
        self.backlog_bytes = 0
        self.reads.set()

    async def has_read(self) -> None:
        await self.reads.wait()
        if self.gone:
            raise ChannelClosed("gone")

    def tell(self, what: str, argument: Any = None) -> None:
        self.told.append((what, argument))

    @property
    def published(self) -> list[tuple[str, str]]:
        found = [one for what, argument in self.told if what == "publish" for one in argument]
        return [(channel, text) for channel, text in found]


def relay(*workers: Worker, bytes_max: int | None = None) -> Relay:
    made = Relay(lambda: DEFAULT_RULES, LastValues(bytes_max) if bytes_max else None)
    for worker in workers:
        made.join(worker)
    return made


def publish(to: Relay, *publications: tuple[str, str]) -> None:
    for channel, text in publications:
        assert to.publish(channel, text.encode())
    to.caught_up()


@on_loop
async def test_all_workers_are_told_everything_in_order() -> None:
    workers = [Worker(), Worker()]
    made = relay(*workers)
    made.publish(STATE, b"1")
    made.publish(EVENT, b"2")
    assert workers[0].told == [], "gathered"
    made.caught_up()
    made.feed_live("poll", ())
    made.publish(STATE, b"3")
    made.feed_gap("poll", ["token.*.update"])
    made.feed_stale("poll")
    made.caught_up()
    for worker in workers:
        assert worker.told == [
            ("publish", [[STATE, "1"], [EVENT, "2"]]),
            ("feed", ["poll", "live", []]),
            ("publish", [[STATE, "3"]]),
            ("feed", ["poll", "gap", ["token.*.update"]]),
            ("feed", ["poll", "stale", []]),
        ]


@on_loop
async def test_who_comes_later_is_told_what_is_so_now() -> None:
    made = relay()
    made.feed_live("poll", ())
    publish(made, (STATE, "1"), (EVENT, "2"), ("token.b.update", "3"), (STATE, "4"))
    late = Worker()
    made.join(late)
    await until(lambda: len(late.published) == 2, "the last values")
    assert made.live_sources == ("poll",)
    assert late.told[0] == ("feed", ["poll", "live", []])
    assert late.published == [("token.b.update", "3"), (STATE, "4")]
    made.feed_stale("poll")
    assert made.live_sources == ()
    later = Worker()
    made.join(later)
    await until(lambda: len(later.published) == 2, "the last values")
    assert later.told == [
        ("feed", ["poll", "stale", []]),
        ("publish", [["token.b.update", "3"], [STATE, "4"]]),
    ]


@on_loop
async def test_what_is_newer_than_a_value_owed_takes_its_place() -> None:
    made = relay()
    publish(made, (STATE, "1"), ("token.b.update", "2"))
    late = Worker()
    late.reads.clear()
    made.join(late)
    publish(made, (STATE, "3"))
    late.read()
    await until(lambda: len(late.published) == 2, "both")
    assert late.published == [(STATE, "3"), ("token.b.update", "2")]


@on_loop
async def test_a_worker_that_does_not_read_is_owed_the_latest_and_told_of_a_gap() -> None:
    stuck, other = Worker(), Worker()
    made = relay(stuck, other)
    stuck.stick()
    for number in range(100):
        publish(made, (STATE, str(number)), (EVENT, str(number)), ("global.x", str(number)))
        publish(made, (f"no.rule.{number}", "0"))  # for workers to refuse
    assert (stuck.told, made.lags) == ([], 1)
    assert len(other.published) == 400
    stuck.read()
    await until(lambda: len(stuck.told) == 2, "what it is owed")
    assert stuck.told == [
        ("feed", ["relay", "gap", ["global.>", "token.*.comment"]]),
        ("publish", [[STATE, "99"]]),
    ]
    publish(made, (EVENT, "100"))
    assert stuck.told[2:] == [("publish", [[EVENT, "100"]])]


@on_loop
async def test_a_gap_is_told_before_what_comes_after_it() -> None:
    stuck = Worker()
    made = relay(stuck)
    stuck.stick()
    publish(made, (EVENT, "1"))
    stuck.backlog_bytes = 0  # it reads again, which nobody has noticed yet
    publish(made, (EVENT, "2"))
    assert stuck.told == [
        ("feed", ["relay", "gap", ["token.*.comment"]]),
        ("publish", [[EVENT, "2"]]),
    ]
    made.stop()


@on_loop
async def test_who_is_gone_is_told_nothing() -> None:
    worker, leaving = Worker(), Worker()
    made = relay(worker, leaving)
    for one in (worker, leaving):
        one.stick()
    publish(made, (STATE, "1"))
    made.part(worker)
    leaving.gone = True
    leaving.read()
    await asyncio.sleep(0)
    publish(made, (EVENT, "1"))
    made.part(leaving)
    made.part(leaving)
    assert worker.told == []


@on_loop
async def test_much_at_once_is_told_in_pieces() -> None:
    worker = Worker()
    made = relay(worker)
    large = "x" * (CHUNK_BYTES // 4)
    publish(made, *((f"token.{number}.update", large) for number in range(10)))
    assert [len(argument) for _, argument in worker.told] == [4, 4, 2]
    late = Worker()
    made.join(late)
    await until(lambda: len(late.published) == 10, "all")
    assert [len(argument) for _, argument in late.told] == [4, 4, 2]


@on_loop
async def test_a_value_that_is_owed_and_forgotten_is_a_gap() -> None:
    worker = Worker()
    made = relay(worker, bytes_max=2 * (OVERHEAD_BYTES + 20))
    worker.stick()
    publish(made, *((f"token.{number}.update", "1") for number in range(3)))
    worker.read()
    await until(lambda: len(worker.told) == 2, "what is left")
    assert worker.published == [("token.1.update", "1"), ("token.2.update", "1")]
    assert worker.told[1] == ("feed", ["relay", "gap", ["token.*.update"]])


def test_last_values_are_bounded_in_bytes() -> None:
    values = LastValues(3 * (OVERHEAD_BYTES + 10))
    for channel in "abc":
        values.put(channel, "x" * 9)
    values.put("a", "y" * 9)  # renewed: now b is the oldest
    values.put("d", "z" * 9)
    assert list(values) == ["c", "a", "d"]
    assert (values.get("a"), values.get("b")) == ("y" * 9, None)
    assert (values.bytes, values.forgotten) == (3 * (OVERHEAD_BYTES + 10), 1)
    values.put("e", "x" * 10_000)
    assert (len(values), values.bytes, values.forgotten) == (0, 0, 5)


@pytest.mark.parametrize("call", ["begin_epoch", "restore", "control"])
def test_what_no_source_of_the_supervisor_has(call: str) -> None:
    arguments = {"begin_epoch": ("a", "b", (), 0), "restore": ("a", b"1", 1, "b")}
    with pytest.raises(NotImplementedError):
        getattr(relay(), call)(*arguments.get(call, ("a", b"1")))
