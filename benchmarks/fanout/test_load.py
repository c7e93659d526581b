"""The load client must see every fault, or its "lost 0" would prove nothing."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.fanout.build import build
from benchmarks.fanout.child import Child, Failure
from benchmarks.fanout.peer import CHANNEL, Peer, frame, publication
from tests.support.delta import delta, kept, keyframe, plain, renewal, same


@contextmanager
def subscribed(log: Path, size: int = 500, *, delta: bool = False) -> Iterator[tuple[Child, Peer]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        command = [
            str(build("load")),
            f"--port={port}",
            "--connections=1",
            "--idle",
            f"--size={size}",
            *(["--delta"] if delta else []),
        ]
        with Child("load", command, core=0, log=log, talks=True) as child:
            listener.settimeout(10)
            connection, _ = listener.accept()
            with connection:
                peer = Peer(connection)
                peer.upgrade(b"wsgate.delta.v1" if delta else b"")
                assert peer.read_frame() == (
                    b'{"type":"subscribe","channels":["token.bench.comment"]}'
                )
                peer.send(frame(b'{"type":"subscribed","channels":{"token.bench.comment":{}}}'))
                assert child.event("ready", 10)["live"] == 1
                yield child, peer


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "load.log"


def faults(totals: dict[str, Any]) -> dict[str, int]:
    names = ("lost", "duplicates", "reordered", "unasked", "damaged")
    return {name: totals[name] for name in names if totals[name]}


@pytest.mark.parametrize(
    ("counters", "expected"),
    [
        ([1, 2, 3], {}),
        ([1, 2, 5], {"lost": 2}),
        ([1, 2, 2, 3], {"duplicates": 1}),
        ([1, 2, 5, 3, 6], {"lost": 2, "reordered": 1}),
        ([5, 6, 1], {"reordered": 1}),
    ],
)
def test_order_and_completeness(log: Path, counters: list[int], expected: dict[str, int]) -> None:
    with subscribed(log) as (child, peer):
        peer.send(b"".join(publication(counter) for counter in counters))
        totals = child.ask(f"finish {len(counters)}")
    assert totals["deliveries"] == totals["live_deliveries"] == len(counters)
    assert totals["latest"] == max(counters)
    assert faults(totals) == expected


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        (publication(1, channel=7), "unasked"),
        (publication(1, size=499), "damaged"),
        (publication(1).replace(b'"data":', b'"dato":'), "damaged"),
        (frame(b"{}"), "damaged"),
        (frame(b"\x00" * 700, opcode=2), "damaged"),
        (b"\x01" + publication(1)[1:], "damaged"),
        (b"\xc1" + publication(1)[1:], "damaged"),
    ],
)
def test_what_is_not_a_publication(log: Path, message: bytes, fault: str) -> None:
    with subscribed(log) as (child, peer):
        peer.send(message, publication(1))
        totals = child.ask("finish 1")
    assert faults(totals) == {fault: 1}


@pytest.mark.parametrize("size", [96, 500, 60_000, 66_000])
def test_frames_may_be_cut_anywhere(log: Path, size: int) -> None:
    messages = b"".join(publication(counter, size=size) for counter in range(1, 21))
    step = max(1, len(messages) // 700)
    with subscribed(log, size) as (child, peer):
        peer.send(*(messages[at : at + step] for at in range(0, len(messages), step)))
        totals = child.ask("finish 20")
    assert totals["deliveries"] == 20
    assert faults(totals) == {}


def data(counter: int) -> bytes:
    start = f'{{"c":0,"n":{counter},"t":1,"pad":"'.encode()
    return start + b"x" * (500 - len(start) - 2) + b'"}'


def binary(*messages: bytes) -> bytes:
    return b"".join(frame(message, opcode=2) for message in messages)


FIRST = keyframe(7, 31, 5, data(1), CHANNEL, "token_comment", "event")


def test_deltas_are_decoded(log: Path) -> None:
    with subscribed(log, delta=True) as (child, peer):
        peer.send(
            binary(
                FIRST,
                same(7, 31, 0, 1),
                delta(7, 31, 1, 1, data(2), data(1)),
                kept(7, 31, 2, 1, data(3), data(1)),
                delta(7, 0, 1, 1, data(4), data(3)),
                renewal(7, 0, 2, data(5), data(3)),
                same(7, 1, 0, 1),
                plain(7, 1, 1, 1, data(6)),
                keyframe(7, 9, 20, data(20), CHANNEL, "token_comment", "event"),
                delta(7, 9, -13, 1, data(7), data(20)),
            )
        )
        totals = child.ask("finish 7")
    assert (totals["deliveries"], totals["deltas"], totals["keyframes"]) == (7, 7, 3)
    assert faults(totals) == {}


@pytest.mark.parametrize(
    "wrong",
    [
        same(8, 31, 0, 1),
        same(7, 30, 0, 1),
        same(7, 31, 0, 1) + b"x",
        delta(7, 31, 1, 1, data(2), data(1))[:-1],
        delta(7, 31, 1, 1, data(2), data(1)) + b"x",
        delta(7, 31, 1, 1, data(2)[:-1], data(1)),
        b"\x00\x07",
        b"",
    ],
)
def test_a_delta_that_is_none(log: Path, wrong: bytes) -> None:
    with subscribed(log, delta=True) as (child, peer):
        peer.send(binary(FIRST, wrong, same(7, 31, 0, 1)))
        totals = child.ask("finish 1")
    assert totals["deliveries"] == 1
    assert faults(totals) == {"damaged": 1}


def test_ping_is_answered(log: Path) -> None:
    with subscribed(log) as (_child, peer):
        peer.send(frame(b"beat", opcode=9))
        assert peer.read_frame() == b"beat"


def test_close_and_end_are_seen(log: Path) -> None:
    with subscribed(log) as (child, peer):
        peer.send(publication(1) + frame(b"\x03\xf4", opcode=8))
        peer.connection.shutdown(socket.SHUT_WR)
        while not (totals := child.ask("mark"))["gone"]:
            pass
    assert totals["live_deliveries"] == 0, "only of those who are still there"
    assert (totals["deliveries"], totals["closes"], totals["gone"]) == (1, 1, 1)


@pytest.mark.parametrize(
    "refuse",
    [
        lambda peer: peer.send(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"),
        lambda peer: peer.connection.close(),
    ],
)
def test_refused_upgrade_is_a_failure(log: Path, refuse: Callable[[Peer], None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        command = [str(build("load")), f"--port={port}", "--connections=1"]
        with Child("load", command, core=0, log=log, talks=True) as child:
            listener.settimeout(10)
            connection, _ = listener.accept()
            with connection:
                refuse(Peer(connection))
                ready = child.event("ready", 10)
    assert (ready["live"], ready["failed"]) == (0, 1)


def test_a_child_that_ends_is_reported(log: Path) -> None:
    command = [str(build("load")), "--connections=1", "--each=9"]
    with (
        Child("load", command, core=0, log=log, talks=True) as child,
        pytest.raises(Failure, match="status 2"),
    ):
        child.event("ready", 10)
