"""Streams, followed through all that can happen to them, on real servers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.feed import run, until
from tests.support.jetstream import JetStream, Load, cluster, jetstream_config
from tests.support.log import Log
from tests.support.nats import NatsServer, Publisher, free_port
from tests.support.nats_source import QUICK, new_server, running
from tests.support.story import StoryFeed
from wsgate.sources.history import History
from wsgate.sources.nats import NatsSource
from wsgate.sources.nats_limits import NatsLimits

__all__ = ["new_server"]

LIMITS = replace(
    QUICK,
    api_timeout_s=2.0,
    consumer_heartbeat_s=0.2,
    stale_after_s=1000.0,
    recheck_s=1000.0,
    leaps_interval_s=0.1,
    portion=100,
)
LIVE, STALE = ("live", "nats"), ("stale", "nats")
STATE, EVENT = "token.*.update", "global.>"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path / "nats", jetstream_config(tmp_path / "store")).start()
    yield server
    server.kill()


@asynccontextmanager
async def following(
    feed: StoryFeed, *servers: NatsServer, limits: NatsLimits = LIMITS, **options: Any
) -> AsyncIterator[NatsSource]:
    """A source that is live."""
    async with running(feed, *servers, limits=limits, **options) as source:
        await feed.until(lambda: source.connected, "the source to be live")
        yield source


# Filling, and going over into live


def test_the_last_values_and_the_events_before_then_what_is_new(server: NatsServer) -> None:
    async def test() -> None:
        feed = StoryFeed()
        with JetStream(server) as js:
            js.make("S", ["token.>", "global.>"])
            js.store("token.a.update", b"1")
            js.store("global.chat", b"2")
            js.store("token.a.update", b"3")
            js.store("token.a.other", b"no rule, and not asked for")
            js.store("global.chat", b"5")
            async with following(feed, server) as source:
                told = [(one.how, one.subject, one.seq) for one in feed.story]
                assert told == [
                    ("restored", "token.a.update", 3),
                    ("restored", "global.chat", 2),
                    ("restored", "global.chat", 5),
                ]
                (epoch,) = feed.epochs
                assert feed.events == [("epoch", "nats", epoch, (STATE, EVENT), 1), LIVE]
                js.store("token.a.other", b"7")
                assert js.store("token.b.update", b"8") == 7
                await feed.until_received(b"8")
                assert feed.story[3:] == [("published", "token.b.update", b"8", 7, epoch)]
                snapshot = source.snapshot()
                assert snapshot["received"] == 1 and snapshot["restored"] == 3
                assert snapshot["streams"] == 1 and snapshot["stream_seq.S"] == 7
                assert snapshot["errors"] == snapshot["repeated"] == 0

    run(test())


def test_no_seam_while_publications_come(server: NatsServer) -> None:
    states = [f"token.t{number}.update" for number in range(20)]
    events = [f"global.c{number}" for number in range(5)]

    async def test() -> None:
        feed = StoryFeed()
        with JetStream(server) as js:
            js.make("S", ["token.>", "global.>"])
        with Load(server, [*states, *events]) as load:
            await until(lambda: load.rounds > 500, "something to fill")
            async with following(feed, server) as source:
                at_first = load.rounds
                await until(lambda: load.rounds > at_first + 500, "something live")
                load.stop()
                for subject, count in load.published.items():
                    await feed.until_told(subject, count - 1)
                assert source.snapshot()["errors"] == 0
        feed.assert_in_order()
        for subject in events:
            assert feed.numbers(subject) == list(range(load.published[subject]))
        for subject in states:
            first, *rest = feed.numbers(subject)
            assert rest == list(range(first + 1, load.published[subject]))
        how = [one.how for one in feed.story]
        assert how.count("restored") > 2500 and how.count("published") > 5000

    run(test())


def test_more_subjects_than_one_answer_takes(server: NatsServer) -> None:
    async def test() -> None:
        feed, subjects = StoryFeed(), 3_000
        with JetStream(server) as js:
            js.make("S", ["token.>"])
            for number in range(subjects):
                js.publish(f"token.t{number}.update", b"%d" % number)
            js.until("S", lambda found: found["state"]["messages"] == subjects)
        async with following(feed, server, subjects=[STATE]) as source:
            assert len(feed.by_subject()) == source.snapshot()["restored"] == subjects
            assert feed.events[0][-1] == subjects, "a state has no history: its floor is the last"

    run(test())


def test_history_is_as_long_as_asked_for_and_the_last_of_all_else_is_known(
    server: NatsServer,
) -> None:
    async def test() -> None:
        feed = StoryFeed()
        with JetStream(server) as js:
            js.make("S", ["global.>", "token.>"])
            quiet = js.store("global.quiet", b"0")
            for number in range(300):
                js.store("global.busy", b"%d" % number)
                js.store("token.a.update")
        async with following(feed, server, history=History(count=50)):
            floor = feed.events[0][-1]
            assert feed.by_subject()["global.quiet"][0].seq == quiet < floor
            numbers = feed.numbers("global.busy")
            assert numbers == list(range(300 - len(numbers), 300)) and 40 < len(numbers) <= 50
            assert all(one.seq > floor for one in feed.by_subject()["global.busy"])

    run(test())


def test_events_older_than_the_history_are_left_but_for_the_last(server: NatsServer) -> None:
    async def test() -> None:
        feed = StoryFeed()
        with JetStream(server) as js:
            js.make("S", ["global.>"])
            for number in range(5):
                js.store("global.a", b"%d" % number)
        async with following(feed, server, subjects=[EVENT], history=History(age_s=0.0)):
            assert feed.numbers("global.a") == [4]
            assert feed.events[0][-1] == 5

    run(test())


def test_history_that_is_dropped_while_it_is_read_is_begun_anew(server: NatsServer) -> None:
    class Purging(StoryFeed):
        def restore(self, subject: str, payload: bytes, seq: int, epoch: str) -> bool:
            if seq == 150:
                js.api("STREAM.PURGE.S", {"seq": 300})
            return super().restore(subject, payload, seq, epoch)

    async def test() -> None:
        feed = Purging()
        js.make("S", ["global.>"])
        for number in range(500):
            js.store("global.a", b"%d" % number)
        async with following(feed, server, subjects=[EVENT]) as source:
            first, second = [event for event in feed.events if event[0] == "epoch"]
            assert (first[2], first[-1]) == (second[2], 0) and second[-1] >= 299
            last_fill = [one.seq for one in feed.story if one.seq > second[-1]]
            assert last_fill[-1] == 500 and 500 - second[-1] == len(set(last_fill))
            assert feed.states == [LIVE] and source.snapshot()["resets.unavailable"] == 1

    with JetStream(server) as js:
        run(test())


# Which subjects come from streams


def test_a_subject_that_is_kept_in_part_comes_over_core_nats(server: NatsServer) -> None:
    async def test() -> None:
        feed, log = StoryFeed(), Log()
        with JetStream(server) as js:
            js.make("PART", ["token.a.>"])
            js.make("WHOLE", ["global.>"])
            js.store("token.a.update", b"old")
            async with following(feed, server, log=log.logger) as source:
                assert source.snapshot()["streams"] == 1
                js.store("token.a.update", b"kept")
                js.publish("token.b.update", b"not kept")
                js.store("global.a", b"kept as well")
                await feed.until(lambda: len(feed.messages) == 3)
                assert [one.seq for one in feed.story] == [0, 0, 1]
            (partly,) = [one for one in log.entries if one["event"] == "nats_subject_partly_kept"]
            assert (partly["subject"], partly["stream"]) == (STATE, "PART")

    run(test())


def test_of_several_streams_the_first_by_name_or_as_they_are_named(server: NatsServer) -> None:
    async def test() -> None:
        with JetStream(server) as js:
            js.make("B", ["token.*.update"])
            js.make("A", mirror={"name": "B"})
            js.make("Q", ["global.>"], retention="workqueue")
            js.store("token.a.update")
            js.until("A", lambda found: found["state"]["messages"] == 1)
        epochs = []
        for names in (None, ["A"], ["B"], ["gone", "A", "B"]):
            feed = StoryFeed()
            async with following(feed, server, streams=names) as source:
                wanted = "B" if names in (None, ["B"]) else "A"
                assert source.snapshot()[f"stream_seq.{wanted}"] == 1
                assert source.snapshot()["streams"] == 1, "never a work queue"
                epochs += feed.epochs
        assert len(epochs) == 4 and len(set(epochs)) == 1, "a mirror's epoch is its origin's"

    run(test())


def test_a_mirror_in_another_domain_counts_as_its_origin_does(
    new_server: Callable[[str], NatsServer], tmp_path: Path
) -> None:
    """Two servers, each with its own JetStream, of which the edge copies the hub's stream."""

    async def test() -> None:
        port = free_port()
        hub = new_server(
            jetstream_config(tmp_path / "hub", "domain: hub")
            + f"\nleafnodes {{ listen: 127.0.0.1:{port} }}"
        ).start()
        edge = new_server(
            jetstream_config(tmp_path / "edge", "domain: edge")
            + f"\nleafnodes {{ remotes: [ {{ url: nats://127.0.0.1:{port} }} ] }}"
        ).start()
        with JetStream(hub) as at_hub, JetStream(edge) as at_edge:
            at_hub.make("O", ["global.>"])
            at_hub.store("global.a", b"0")
            at_edge.make("M", mirror={"name": "O", "external": {"api": "$JS.hub.API"}})
            at_edge.until("M", lambda found: found["state"]["messages"] == 1)
            told = []
            for server, names in ((hub, None), (edge, ["M"])):
                feed = StoryFeed()
                options: dict[str, Any] = {"subjects": [EVENT], "streams": names}
                async with following(feed, server, **options) as source:
                    number = len(told) + 1
                    at_hub.store("global.a", b"%d" % number)
                    await feed.until_told("global.a", number)
                    (epoch,) = feed.epochs
                    assert await source.replay("global.a", 1, epoch) is not None
                    told.append([(one.seq, one.epoch) for one in feed.story])
            assert told[1][: len(told[0])] == told[0] and len(told[1]) == 3

    run(test())


LOGINS = """authorization { users = [
    %s
    { user: backend, password: right }
] }"""
GATE: dict[str, Any] = {"user": "gate", "password": "right"}
BACKEND = {"user": "backend", "password": "right"}

NOT_ALLOWED = """
authorization { users = [
    { user: gate, password: right, permissions: { publish: { allow: ["nothing"] } } }
    { user: deaf, password: right, permissions: { subscribe: { allow: ["token.*.update"] } } }
    { user: backend, password: right }
] }"""


@pytest.mark.parametrize("user", ["gate", "deaf"])
def test_without_permission_everything_comes_over_core_nats(
    new_server: Callable[[str], NatsServer], tmp_path: Path, user: str
) -> None:
    async def test() -> None:
        config = jetstream_config(tmp_path / "store") + NOT_ALLOWED
        server = new_server(config).start()
        feed, log = StoryFeed(), Log()
        login: dict[str, Any] = {"user": user, "password": "right", "log": log.logger}
        with JetStream(server, "backend", "right") as js:
            js.make("S", ["token.>"])
            async with following(feed, server, subjects=[STATE], **login) as source:
                js.store("token.a.update", b"1")
                await feed.until_received(b"1")
                assert source.snapshot()["streams"] == source.snapshot()["errors"] == 0
                server.restart()
                await feed.until_events(LIVE, STALE, (*LIVE, STATE))
        assert [one["event"] for one in log.entries].count("nats_jetstream_absent") == 1

    run(test())


def test_the_permissions_that_the_manual_asks_for_are_enough(
    new_server: Callable[[str], NatsServer], tmp_path: Path
) -> None:
    manual = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    sentence = manual[manual.index("The gateway's user has to be allowed") :]
    allowed = re.findall(r"`(\$JS\.(?:API|FC)[^`<]+)`", sentence[: sentence.index("\n\n")])
    assert len(allowed) == 6
    user = "user: gate, password: right, permissions: { publish: { allow: %s }, %s }"
    user %= json.dumps(allowed), 'subscribe: { allow: ["_INBOX.>"] }'

    async def test() -> None:
        config = f"{jetstream_config(tmp_path / 'store')}\n" + LOGINS % f"{{ {user} }}"
        server = new_server(config).start()
        feed, log = StoryFeed(), Log()
        with JetStream(server, **BACKEND) as js:
            js.make("S", ["global.>"])
            js.store("global.a", b"0")
            async with following(feed, server, subjects=[EVENT], log=log.logger, **GATE) as source:
                for number in range(1, 5000):
                    js.publish("global.a", b"%d" % number)
                js.flush()
                await feed.until_told("global.a", 4999)
                (epoch,) = feed.epochs
                assert await source.replay("global.a", 4999, epoch) == [(5000, b"4999")]
                assert source.snapshot()["errors"] == 0
            js.until("S", lambda found: found["state"]["consumer_count"] == 0)
        assert "nats_server_complaint" not in log.events()

    run(test())


def test_jetstream_can_be_left_alone(server: NatsServer) -> None:
    async def test() -> None:
        feed = StoryFeed()
        with JetStream(server) as js:
            js.make("S", ["token.>"])
            js.store("token.a.update", b"1")
            async with following(feed, server, subjects=[STATE], streams=()):
                js.store("token.a.update", b"2")
                await feed.until_received(b"2")
        assert [one.seq for one in feed.story] == [0] and feed.events == [LIVE]

    run(test())


def test_a_stream_that_is_made_later_is_found(server: NatsServer) -> None:
    async def test() -> None:
        feed = StoryFeed()
        limits = replace(LIMITS, recheck_s=0.05)
        with JetStream(server) as js:
            async with following(feed, server, subjects=[STATE], limits=limits):
                js.make("S", ["token.>"])
                await feed.until(lambda: len(feed.states) == 4)
                assert feed.states == [LIVE, STALE, ("gap", "nats", STATE), LIVE]
                js.store("token.a.update", b"1")
                await feed.until_received(b"1")
                assert feed.story[-1].seq == 1 and feed.story[-1].epoch == feed.epochs[-1]

    run(test())


# What can happen to consumers and streams


def test_a_consumer_that_is_deleted_is_replaced(server: NatsServer) -> None:
    async def test() -> None:
        feed = StoryFeed()
        with JetStream(server) as js:
            js.make("S", ["global.>", "token.>"])
            async with following(feed, server) as source:
                for number in range(5):
                    js.store("global.a", b"%d" % number)
                for consumer in js.consumers("S"):
                    js.api(f"CONSUMER.DELETE.S.{consumer}")
                for number in range(5, 10):
                    js.store("global.a", b"%d" % number)
                await feed.until_told("global.a", 9)
                assert feed.numbers("global.a") == list(range(10))
                assert source.snapshot()["resets.silent"] == 1
                assert feed.states == [LIVE] and len(feed.epochs) == 1

    run(test())


def test_a_purge_of_what_was_handed_over_changes_nothing(server: NatsServer) -> None:
    async def test() -> None:
        feed = StoryFeed()
        with JetStream(server) as js:
            js.make("S", ["global.>", "token.>"])
            async with following(feed, server) as source:
                js.store("global.a", b"0")
                await feed.until_told("global.a", 0)
                js.api("STREAM.PURGE.S")
                js.store("global.a", b"1")
                await feed.until_told("global.a", 1)
                for consumer in js.consumers("S"):
                    js.api(f"CONSUMER.DELETE.S.{consumer}")
                await until(lambda: source.snapshot().get("resets.silent"), "a reset")
                js.store("global.a", b"2")
                await feed.until_told("global.a", 2)
                assert [one.seq for one in feed.story] == [1, 2, 3]
                assert feed.states == [LIVE] and len(feed.epochs) == 1

    run(test())


def test_a_purge_of_what_was_not_handed_over_is_a_gap(server: NatsServer) -> None:
    async def test() -> None:
        feed = StoryFeed()
        with JetStream(server) as js:
            js.make("S", ["global.>", "token.>"])
            async with following(feed, server):
                js.store("global.a", b"0")
                await feed.until_told("global.a", 0)
                for consumer in js.consumers("S"):
                    js.api(f"CONSUMER.DELETE.S.{consumer}")
                js.store("global.a", b"1")
                js.api("STREAM.PURGE.S")
                js.store("global.a", b"2")
                await feed.until_told("global.a", 2)
                assert feed.numbers("global.a") == [0, 2]
                assert feed.states == [LIVE, ("gap", "nats", STATE, EVENT)]
                assert len(feed.epochs) == 1

    run(test())


def test_what_a_stream_drops_before_it_could_be_read_is_a_gap(server: NatsServer) -> None:
    """The gateway is behind, by more than the stream keeps."""
    behind, padding = 8000, b" " * 1000

    async def test() -> None:
        feed = StoryFeed()
        with JetStream(server) as js, Publisher(server) as publisher:
            js.make("S", ["global.>", "token.>"], max_msgs=10)
            async with following(feed, server):
                js.store("global.a", b"0")
                await feed.until_told("global.a", 0)
                for number in range(1, behind):  # without reading: nothing is awaited
                    publisher.publish("global.a", b"%d" % number + padding)
                publisher.flush()
                await feed.until_told("global.a", behind - 1)
                assert len(feed.story) < behind, "the test needs a source that is behind"
                await feed.until(lambda: ("gap", "nats", EVENT) in feed.events, "a gap")
                assert feed.states == [LIVE, ("gap", "nats", EVENT)] and len(feed.epochs) == 1

    run(test())


def test_who_is_behind_a_stream_that_drops_nothing_is_told_of_no_gap(server: NatsServer) -> None:
    behind, padding = 8000, b" " * 1000

    async def test() -> None:
        feed = StoryFeed()
        with JetStream(server) as js, Publisher(server) as publisher:
            js.make("S", ["global.>", "token.>", "other"])
            async with following(feed, server):
                js.store("global.a", b"0")
                await feed.until_told("global.a", 0)
                for number in range(1, behind):
                    publisher.publish("global.a", b"%d" % number + padding)
                    publisher.publish("other", padding)
                publisher.flush()
                await feed.until_told("global.a", behind - 1)
                assert feed.numbers("global.a") == list(range(behind))
                await asyncio.sleep(2 * LIMITS.leaps_interval_s)
                assert feed.states == [LIVE]

    run(test())


def test_a_stream_that_is_deleted_and_made_anew_begins_anew(server: NatsServer) -> None:
    async def test() -> None:
        feed = StoryFeed()
        with JetStream(server) as js:
            js.make("S", ["global.>", "token.>"])
            js.store("token.a.update", b"0")
            async with following(feed, server):
                js.remove("S")
                js.make("S", ["global.>", "token.>"])
                js.store("token.b.update", b"1")
                js.store("global.a", b"2")
                await feed.until(lambda: len(feed.epochs) == 2, "another epoch")
                js.store("token.b.update", b"3")
                await feed.until_told("token.b.update", 3)
                assert len(set(feed.epochs)) == 2
                assert {one.epoch for one in feed.story[1:]} == {feed.epochs[1]}
                assert feed.numbers("token.b.update")[-1] == 3
                assert ("gap", "nats", STATE, EVENT) in feed.events

    run(test())


def test_a_stream_that_is_deleted_for_good_leaves_its_subjects_to_core_nats(
    server: NatsServer,
) -> None:
    async def test() -> None:
        feed = StoryFeed()
        with JetStream(server) as js:
            js.make("S", ["global.>", "token.>"])
            async with following(feed, server) as source:
                js.remove("S")
                await feed.until(lambda: len(feed.states) == 3)
                assert feed.states == [LIVE, STALE, (*LIVE, STATE, EVENT)]
                assert feed.epochs[1:] == [""]
                js.publish("global.a", b"0")
                await feed.until_told("global.a", 0)
                assert feed.story[-1].seq == 0 and source.snapshot()["streams"] == 0

    run(test())


# What can happen to servers


class Locked:
    """A server that does not let the gateway in again before it is told to."""

    def __init__(self, new_server: Callable[[str], NatsServer], store: Path) -> None:
        self._jetstream = jetstream_config(store)
        self.server = new_server(self._config("{ user: gate, password: right }")).start()

    def _config(self, gate: str) -> str:
        return f"{self._jetstream}\n{LOGINS % gate}"

    def kill_and_lock(self) -> None:
        self.server.restart(self._config(""))

    def unlock(self) -> None:
        self.server.reload(self._config("{ user: gate, password: right }"))


@pytest.fixture
def locked(new_server: Callable[[str], NatsServer], tmp_path: Path) -> Locked:
    return Locked(new_server, tmp_path / "store")


def test_what_was_published_during_an_outage_comes_after_it(locked: Locked) -> None:
    async def test() -> None:
        feed, count = StoryFeed(), 20_000
        with JetStream(locked.server, **BACKEND) as js:
            js.make("S", ["global.>", "token.>"])
            js.store("global.a", b"0")
            js.store("token.a.update", b"0")
        async with following(feed, locked.server, subjects=[STATE, EVENT, "x"], **GATE) as source:
            locked.kill_and_lock()
            await feed.until(lambda: STALE in feed.events)
            with JetStream(locked.server, **BACKEND) as js:
                for number in range(1, count):
                    js.publish("global.a", b"%d" % number)
                js.until("S", lambda found: found["state"]["messages"] == count + 1)
                locked.unlock()
                await feed.until(lambda: source.connected)
                assert feed.numbers("global.a") == list(range(count)), "live when it has caught up"
                js.store("global.a", b"%d" % count)
                await feed.until_told("global.a", count)
            # Nothing keeps "x".
            assert feed.states == [LIVE, STALE, (*LIVE, "x")] and len(feed.epochs) == 1
            feed.assert_in_order()
            assert source.snapshot()["reconnects"] == 1

    run(test())


def test_what_a_stream_has_dropped_during_an_outage_is_a_gap(locked: Locked) -> None:
    async def test() -> None:
        feed = StoryFeed()
        with JetStream(locked.server, **BACKEND) as js:
            js.make("SHORT", ["global.>"], max_msgs=10)
            js.make("LONG", ["token.>"])
            js.store("global.a", b"0")
        async with following(feed, locked.server, **GATE) as source:
            locked.kill_and_lock()
            await feed.until(lambda: STALE in feed.events)
            with JetStream(locked.server, **BACKEND) as js:
                for number in range(1, 30):
                    js.store("global.a", b"%d" % number)
                    js.store("token.a.update", b"%d" % number)
            locked.unlock()
            await feed.until(lambda: source.connected)
            assert feed.states == [LIVE, STALE, ("gap", "nats", EVENT), LIVE]
            assert feed.numbers("global.a") == [0, *range(20, 30)]
            assert feed.numbers("token.a.update") == list(range(1, 30))
            assert len(feed.epochs) == 2, "one for each stream"

    run(test())


def test_events_of_which_only_the_last_is_kept_may_have_a_hole(locked: Locked) -> None:
    async def test() -> None:
        feed = StoryFeed()
        with JetStream(locked.server, **BACKEND) as js:
            js.make("S", ["global.>", "token.>"], max_msgs_per_subject=1)
            js.store("global.a", b"0")
            js.store("token.a.update", b"0")
        async with following(feed, locked.server, **GATE) as source:
            assert feed.events[0][-1] == 2, "what is kept of events proves nothing"
            locked.kill_and_lock()
            await feed.until(lambda: STALE in feed.events)
            with JetStream(locked.server, **BACKEND) as js:
                js.store("token.b.update", b"1")
            locked.unlock()
            await feed.until(lambda: source.connected)
            assert feed.states == [LIVE, STALE, ("gap", "nats", EVENT), LIVE]

    run(test())


def test_a_server_that_is_killed_under_load_and_comes_back(server: NatsServer) -> None:
    async def test() -> None:
        feed = StoryFeed()
        with JetStream(server) as js:
            js.make("S", ["global.>", "token.>"])
        async with following(feed, server):
            stored = 0
            for restart in range(3):
                with JetStream(server) as js:
                    for _ in range(200):
                        js.store("global.a", b"%d" % stored)
                        stored += 1
                server.restart()
                await feed.until(lambda wanted=2 * restart + 3: len(feed.states) >= wanted)
            await feed.until_told("global.a", stored - 1)
            assert feed.numbers("global.a") == list(range(stored))
            assert feed.states == [LIVE, *[STALE, LIVE] * 3] and len(feed.epochs) == 1

    run(test())


def test_a_server_that_hangs_for_a_while(server: NatsServer) -> None:
    """So short that the connection outlives it: only the stream is found to be silent."""

    async def test() -> None:
        feed = StoryFeed()
        limits = replace(LIMITS, heartbeat_interval_s=1000.0, api_timeout_s=0.5, stale_after_s=0.01)
        with JetStream(server) as js:
            js.make("S", ["global.>", "token.>"])
            async with following(feed, server, limits=limits) as source:
                js.store("global.a", b"0")
                await feed.until_told("global.a", 0)
                server.pause()
                await feed.until(lambda: STALE in feed.events, "that it is late")
                assert source.snapshot()["resets.silent"] == 1 and not source.connected
                server.resume()
                js.store("global.a", b"1")
                await feed.until(lambda: source.connected)
                js.store("global.a", b"2")
                await feed.until_told("global.a", 2)
                assert feed.numbers("global.a") == [0, 1, 2]
                assert feed.states == [LIVE, STALE, LIVE] and len(feed.epochs) == 1
                assert source.snapshot()["reconnects"] == 0

    run(test())


@pytest.mark.timeout(180)
@pytest.mark.parametrize("connected_to", ["leader", "follower"])
def test_a_cluster_that_loses_the_leader_of_a_stream(tmp_path: Path, connected_to: str) -> None:
    nodes = cluster(tmp_path)

    async def test() -> None:
        feed = StoryFeed()
        with JetStream(nodes[0]) as js:
            js.make("S", ["global.>", "token.>"], num_replicas=3)
            name = js.info("S")["cluster"]["leader"]
        (leader,) = [node for node in nodes if node.name == name]
        others = [node for node in nodes if node is not leader]
        order = [leader, *others] if connected_to == "leader" else [*others, leader]
        async with following(feed, *order):
            with JetStream(others[-1]) as js:
                for number in range(100):
                    js.store("global.a", b"%d" % number)
                leader.kill()
                for number in range(100, 200):
                    js.store_again("global.a", b"%d" % number)
                js.store_again("global.b", b"0")
                await feed.until_told("global.b", 0)
            numbers = feed.numbers("global.a")
            # What was not acknowledged was stored again, and may have been stored before.
            assert sorted(set(numbers)) == list(range(200))
            assert [one.seq for one in feed.by_subject()["global.a"]] == list(
                range(1, len(numbers) + 1)
            )
            assert len(feed.epochs) == 1
            assert not [event for event in feed.states if len(event) > 2], "nobody missed anything"

    try:
        for node in nodes:
            node.start()
        run(test())
    finally:
        for node in nodes:
            node.kill()


# Replay


def test_replay_is_all_or_nothing(server: NatsServer) -> None:
    async def test() -> None:
        feed = StoryFeed()
        limits = replace(LIMITS, replay_count_max=10, replay_bytes_max=4096)
        with JetStream(server) as js:
            js.make("S", ["global.>"], max_msgs=40)
            js.make("FEW", ["token.>"], max_msgs_per_subject=3)
            async with following(
                feed, server, subjects=[EVENT, "token.*.comment"], limits=limits
            ) as source:
                epoch_of = {event[3][0]: event[2] for event in feed.events if event[0] == "epoch"}
                epoch, few = epoch_of[EVENT], epoch_of["token.*.comment"]
                for number in range(10):
                    js.store("global.a", b"%d" % number)
                    js.store("global.b")
                first_ten = [(1 + 2 * number, b"%d" % number) for number in range(10)]
                assert await source.replay("global.a", 0, epoch) == first_ten
                assert await source.replay("global.a", 5, epoch) == first_ten[3:]
                assert await source.replay("global.a", 20, epoch) == []
                assert await source.replay("global.quiet", 0, epoch) == []
                assert await source.replay("global.a", 21, epoch) is None, "no such position yet"
                assert await source.replay("global.a", 0, few) is None, "of another stream"
                assert await source.replay("global.a", 0, "") is None
                assert await source.replay("global.*", 0, epoch) is None
                assert await source.replay("token.a.comment", 0, epoch) is None
                js.store("global.a")
                assert await source.replay("global.a", 0, epoch) is None, "too many"
                js.store("global.b", bytes(5000))
                assert await source.replay("global.b", 20, epoch) is None, "too large"
                for _ in range(20):
                    js.store("global.b")
                assert js.info("S")["state"]["first_seq"] == 3
                assert await source.replay("global.a", 2, epoch) is not None
                assert await source.replay("global.a", 1, epoch) is None, "not all is there"

                for number in range(4):
                    js.store("token.a.comment", b"%d" % number)
                assert await source.replay("token.a.comment", 0, few) is None
                assert await source.replay("token.a.comment", 1, few) is None, "it may have lost"
                assert await source.replay("token.a.comment", 2, few) == [(3, b"2"), (4, b"3")]
                snapshot = source.snapshot()
                assert (snapshot["replays"], snapshot["replays_failed"]) == (6, 6)
                assert len(js.consumers("S")) == 1, "none is left behind"

    run(test())


def test_replays_of_a_stream_that_is_not_there_any_more_or_not_in_time(
    server: NatsServer,
) -> None:
    async def test() -> None:
        feed = StoryFeed()
        limits = replace(
            LIMITS,
            replay_timeout_s=0.3,
            replays_max=2,
            replays_waiting_max=4,
            heartbeats_missed_max=1000,
            heartbeat_interval_s=1000.0,
        )
        with JetStream(server) as js:
            js.make("S", ["global.>"])
            async with following(feed, server, subjects=[EVENT], limits=limits) as source:
                js.store("global.a", b"0")
                (epoch,) = feed.epochs
                server.pause()
                asked = [source.replay("global.a", 0, epoch) for _ in range(10)]
                assert await asyncio.gather(*asked) == [None] * 10
                server.resume()
                js.remove("S")
                js.make("S", ["global.>"])
                js.store("global.a", b"of another life")
                assert await source.replay("global.a", 0, epoch) is None

    run(test())
