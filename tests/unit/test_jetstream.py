"""The parts of what follows streams, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import orjson
import pytest

from tests.support.feed import run
from wsgate.rules import DEFAULT_RULES, Kind, Rule, Rules
from wsgate.sources.history import Kinds
from wsgate.sources.jetstream.acks import place
from wsgate.sources.jetstream.api import JetStreamApi, StreamInfo
from wsgate.sources.jetstream.coverage import Candidate, decide
from wsgate.sources.jetstream.origin import epoch_of, life_of
from wsgate.sources.jetstream.tail import Tail
from wsgate.sources.nats_client import Receiver
from wsgate.sources.nats_limits import NatsLimits

# Replies


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        (b"$JS.ACK.S.c.1.16.2.1795766332880059282.4", (16, 2)),
        (b"$JS.ACK.hub.ABC.S.c.1.16.2.1795766332880059282.4.x9", (16, 2)),
        (b"$JS.ACK.hub.ABC.S.c.1.16.2.1795766332880059282.4", (16, 2)),
        (b"$JS.FC.S.c.x", None),
        (b"$JS.ACK.S.c.1.x.2.3.4", None),
        (b"$JS.ACK.S", None),
        (b"_INBOX.x", None),
        (b"", None),
    ],
)
def test_where_a_message_stands(reply: bytes, found: tuple[int, int] | None) -> None:
    assert place(reply) == found


# Rules


def test_which_subjects_may_have_events() -> None:
    rules = Rules(
        [
            Rule("a.*", "a", Kind.STATE),
            Rule("b.x", "b", Kind.STATE),
            Rule("b.*", "b", Kind.EVENT),
            Rule(">", "c", Kind.STATE),
        ]
    )
    kinds = Kinds(rules)
    subjects = ["a.1", "a.*", "b.x", "b.*", "b.>", ">", "c"]
    assert kinds.with_events(subjects) == ("b.*", "b.>", ">")
    assert (kinds.of("b.x"), kinds.of("b.y")) == (Kind.STATE, Kind.EVENT)
    default = Kinds(DEFAULT_RULES)
    assert default.of("elsewhere") is None and default.with_events(["elsewhere"]) == ()


# Streams


def stream(name: str, *subjects: str, created: str = "then", **config: Any) -> StreamInfo:
    found = {
        "config": {"name": name, "subjects": subjects, **config},
        "created": created,
        "state": {"first_seq": 1, "last_seq": 0, "messages": 0, "bytes": 0},
    }
    return StreamInfo.parse(orjson.loads(orjson.dumps(found)), "$JS.API")


def candidates(*streams: StreamInfo) -> list[Candidate]:
    origins = {one.name: one for one in streams if one.mirror is None}
    return [
        Candidate(one, one if one.mirror is None else origins.get(one.mirror.origin))
        for one in streams
    ]


def test_a_subject_comes_from_the_first_stream_that_keeps_it_whole() -> None:
    found = decide(
        ["a.*", "b.>", "c", "d.*"],
        candidates(stream("1", "a.x", "b.>"), stream("2", "a.>", "b.>"), stream("3", "d.x")),
    )
    assert found.streams == {"2": ("a.*",), "1": ("b.>",)}
    assert found.rest == ("c", "d.*") and found.partly == {"d.*": "3"}


@pytest.mark.parametrize(
    "config",
    [
        {"retention": "workqueue"},
        {"retention": "interest"},
        {"subject_transform": {"src": ">", "dest": "x.>"}},
    ],
)
def test_a_stream_that_is_of_no_use(config: dict[str, Any]) -> None:
    found = decide(["a"], candidates(stream("S", "a", **config)))
    assert (found.streams, found.rest) == ({}, ("a",))


def test_a_mirror_keeps_what_its_origin_keeps_and_it_takes() -> None:
    origin = stream("O", "a.>")

    def kept(mirror: dict[str, Any], *others: StreamInfo) -> tuple[str, ...]:
        found = decide(["a.*", "b"], candidates(stream("M", mirror=mirror), *others))
        return found.streams.get("M", ())

    assert kept({"name": "O"}, origin) == ("a.*",)
    assert kept({"name": "O", "filter_subject": "a.x"}, origin) == ()
    assert kept({"name": "O", "subject_transforms": [{"src": "a.>", "dest": "a.>"}]}, origin) == ()
    # Whoever named it will know.
    assert kept({"name": "O"}) == ("a.*", "b")
    assert kept({"name": "O", "filter_subject": "a.>"}) == ("a.*",)


def test_whom_to_ask_about_an_origin() -> None:
    def api_of(mirror: dict[str, Any]) -> str:
        found = stream("M", mirror={"name": "O", **mirror}).mirror
        assert found is not None
        return found.api

    assert api_of({}) == "$JS.API"
    assert api_of({"external": {"api": "$JS.hub.API"}}) == "$JS.hub.API"


# Epochs


def test_an_epoch_is_of_a_name_and_a_time() -> None:
    one = epoch_of(stream("S"))
    assert one == epoch_of(stream("S", "other.subjects", max_msgs=1))
    assert len({one, epoch_of(stream("T")), epoch_of(stream("S", created="later"))}) == 3


def test_a_mirror_has_the_epoch_of_its_origin_as_long_as_that_can_be_asked() -> None:
    origin, mirror = stream("O"), stream("M", mirror={"name": "O"}, created="after")
    life = life_of(mirror, origin, None)
    assert life.epoch == epoch_of(origin)
    assert life_of(mirror, None, life) == life, "what was known stays"
    assert life_of(mirror, stream("O", created="later"), life).epoch != life.epoch
    again = stream("M", mirror={"name": "O"}, created="much later")
    assert life_of(again, origin, life).epoch == life.epoch, "the numbers are the same"

    alone = life_of(mirror, None, None)
    assert alone.epoch == epoch_of(mirror)
    assert life_of(mirror, origin, alone) == alone, "rather than to begin anew"
    assert life_of(again, origin, alone).epoch == epoch_of(origin)


def test_a_stream_that_gives_its_numbers_twice_has_an_epoch_of_its_own() -> None:
    origin = stream("O")
    life = life_of(origin, origin, None)
    fork = life.fork()
    assert fork.epoch.startswith(life.epoch) and fork.epoch != life.epoch
    assert life_of(origin, origin, fork) == fork


# The tail, with a link that only notes what is sent


LIMITS = NatsLimits(consumer_heartbeat_s=0.1, heartbeats_missed_max=2)
INBOX = b"_INBOX.x"


class Link:
    def __init__(self) -> None:
        self.sent: list[str] = []
        self.other_messages = 0
        self.receiver: Receiver | None = None

    def new_inbox(self) -> str:
        return INBOX.decode()

    def send(self, subject: str, payload: bytes = b"", reply: str = "") -> None:
        self.sent.append(subject)

    async def listen(self, inbox: str, receiver: Receiver) -> int:
        self.receiver = receiver
        return 1

    async def unlisten(self, number: int) -> None:
        self.receiver = None

    async def ask(self, subject: str, payload: bytes, timeout_s: float) -> bytes:
        after = orjson.loads(payload)["config"]["opt_start_seq"] - 1
        return orjson.dumps({"delivered": {"stream_seq": after}, "num_pending": self.pending})

    pending = 0


class Conversation:
    """A tail and what reaches it."""

    def __init__(self, pending: int = 0) -> None:
        self.link = Link()
        self.link.pending = pending
        self.told: list[tuple[str, bytes, int, str]] = []
        self.failures: list[Exception] = []
        api = JetStreamApi(cast(Any, self.link), 1.0)
        self.tail = Tail(api, self.publish, self.failures.append, "e", LIMITS)

    def publish(self, *message: Any) -> None:
        self.told.append(message)
        if message[1] == b"raise":
            raise RuntimeError("a bug")

    async def begin(self, after: int = 10) -> None:
        await self.tail.open("S", ["a"], after)
        await self.tail.begin()

    def message(
        self,
        seq: int,
        number: int,
        payload: bytes = b"{}",
        reply: bytes = b"$JS.ACK.S.c.1.%d.%d.1795766332880059282.0",
    ) -> None:
        assert self.link.receiver is not None
        self.link.receiver(b"a", reply % (seq, number), payload, None)

    def status(self, *fields: bytes, reply: bytes = b"") -> None:
        assert self.link.receiver is not None
        header = b"\r\n".join([b"NATS/1.0 100 Some Text", *fields, b"", b""])
        self.link.receiver(INBOX, reply, b"", header)

    def heartbeat(self, number: int, seq: int, *more: bytes) -> None:
        self.status(b"Nats-Last-Consumer: %d" % number, b"Nats-Last-Stream: %d" % seq, *more)

    @property
    def seqs(self) -> list[int]:
        return [seq for _, _, seq, _ in self.told]


@pytest.mark.parametrize(
    "reply",
    [
        b"$JS.ACK.S.c.1.%d.%d.1795766332880059282.0",
        b"$JS.ACK.hub.ABC.S.c.1.%d.%d.1795766332880059282.0.rnd",
    ],
)
def test_a_tail_hands_over_what_comes_in_order(reply: bytes) -> None:
    async def test() -> None:
        talk = Conversation()
        await talk.begin()
        for number, seq in enumerate((11, 15, 16), 1):
            talk.message(seq, number, reply=reply)
        assert talk.told[0] == ("a", b"{}", 11, "e") and talk.seqs == [11, 15, 16]
        assert talk.tail.last == 16 and talk.link.other_messages == 0
        await talk.tail.close()

    run(test())


@pytest.mark.parametrize(
    "messages",
    [
        [(11, 2)],
        [(11, 1), (13, 3)],
        [(11, 1), (11, 1)],
        [(11, 1), (12, 0)],
    ],
)
def test_a_message_out_of_order_breaks_it(messages: Sequence[tuple[int, int]]) -> None:
    async def test() -> None:
        talk = Conversation()
        await talk.begin()
        for message in messages:
            talk.message(*message)
        assert await talk.tail.watch() == "sequence"
        assert talk.seqs == [11][: len(messages) - 1]
        await talk.tail.close()
        assert talk.link.sent[-1].startswith("$JS.API.CONSUMER.DELETE.S.wsgate-")

    run(test())


def test_what_comes_again_is_not_handed_over_again() -> None:
    async def test() -> None:
        talk = Conversation()
        await talk.begin(after=12)
        for number, seq in enumerate((11, 12, 13), 1):
            talk.message(seq, number)
        assert talk.seqs == [13] and talk.tail.repeated == 2
        await talk.tail.close()

    run(test())


def test_a_feed_that_raises_breaks_nothing() -> None:
    async def test() -> None:
        talk = Conversation()
        await talk.begin()
        talk.message(11, 1, b"raise")
        talk.message(12, 2)
        assert talk.seqs == [11, 12] and len(talk.failures) == 1
        await talk.tail.close()

    run(test())


def test_flow_control_is_answered_and_heartbeats_move_the_position() -> None:
    async def test() -> None:
        talk = Conversation(pending=1)
        await talk.begin()
        talk.status(reply=b"$JS.FC.S.c.x")
        assert talk.link.sent == ["$JS.FC.S.c.x"]
        talk.heartbeat(0, 30, b"Nats-Consumer-Stalled: $JS.FC.S.c.y")
        assert talk.link.sent[1:] == ["$JS.FC.S.c.y"]
        assert talk.tail.last == 10, "it has not passed over these, it only waits"
        talk.heartbeat(0, 30)
        assert talk.tail.last == 30
        assert await talk.tail.caught_up(), "what was to come was dropped"
        assert talk.link.other_messages == 3
        await talk.tail.close()

    run(test())


def test_a_heartbeat_that_knows_of_more_breaks_it() -> None:
    async def test() -> None:
        talk = Conversation()
        await talk.begin()
        talk.message(11, 1)
        talk.heartbeat(2, 12)
        assert await talk.tail.watch() == "sequence" and talk.tail.last == 11
        await talk.tail.close()

    run(test())


def test_nonsense_in_its_inbox_changes_nothing() -> None:
    async def test() -> None:
        talk = Conversation()
        await talk.begin()
        assert talk.link.receiver is not None
        for reply, header in [
            (b"", None),
            (b"\xff", b"\xff"),
            (b"a.b.c.d.e", b"NATS/1.0\r\nx: y\r\n\r\n"),
            (b"$JS.ACK.S.c.1.x.y.1.0", None),
            (b"", b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: x\r\n\r\n"),
            (b"", b"NATS/1.0 100"),
        ]:
            talk.link.receiver(INBOX, reply, b"", header)
        talk.message(11, 1)
        assert talk.seqs == [11] and talk.link.sent == []
        await talk.tail.close()

    run(test())


def test_silence_breaks_it_also_while_it_catches_up() -> None:
    async def test() -> None:
        talk = Conversation(pending=3)
        await talk.begin()
        talk.message(11, 1)
        assert not await talk.tail.caught_up()
        assert await talk.tail.watch() == "silent"
        await talk.tail.close()

    run(test())


def test_it_has_caught_up_with_the_last_that_was_there() -> None:
    async def test() -> None:
        talk = Conversation(pending=2)
        await talk.begin()
        talk.message(11, 1)
        waiting = asyncio.create_task(talk.tail.caught_up())
        await asyncio.sleep(0)
        assert not waiting.done()
        talk.message(12, 2)
        assert await waiting
        await talk.tail.close()

    run(test())


def test_limits_that_cannot_be() -> None:
    for wrong in ({"consumer_heartbeat_s": 0.05}, {"heartbeats_missed_max": 1}, {"portion": 0}):
        with pytest.raises(AssertionError):
            replace(LIMITS, **cast(Any, wrong))
