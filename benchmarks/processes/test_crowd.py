"""The crowd must see every fault and count every refusal, or its zeros would prove nothing."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.fanout.child import Child
from benchmarks.fanout.peer import CHANNEL, Peer, frame, publication

SUBSCRIBED = frame(b'{"type":"subscribed","channels":{"token.bench.comment":{}}}')
RECONNECT = frame(b'{"type":"reconnect","after_ms":30}')
RESTART = frame(b"\x03\xf4service_restart", opcode=8)


class Server:
    """Whatever the crowd connects to."""

    def __init__(self, listener: socket.socket) -> None:
        listener.settimeout(10)
        self.listener = listener
        self.peers: list[Peer] = []

    def accept(self) -> Peer:
        self.peers.append(Peer(self.listener.accept()[0]))
        return self.peers[-1]

    def hang_up(self) -> None:
        for peer in self.peers:
            peer.stream.close()
            peer.connection.close()

    def welcome(self) -> Peer:
        peer = self.accept()
        peer.upgrade()
        assert peer.read_frame() == b'{"type": "subscribe", "channels": ["token.bench.comment"]}'
        peer.send(SUBSCRIBED)
        return peer


@contextmanager
def crowd(log: Path, *, moves: bool = False) -> Iterator[tuple[Child, Server]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-m", "benchmarks.processes.crowd"]
        command += [str(listener.getsockname()[1]), "--connections=1", "--size=500"]
        command += [f"--channels={CHANNEL}", *(["--moves"] if moves else [])]
        with Child("crowd", command, core=0, log=log, talks=True) as child:
            server = Server(listener)
            try:
                yield child, server
            finally:
                server.hang_up()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "crowd.log"


def until(child: Child, **expected: Any) -> dict[str, Any]:
    for _ in range(10_000):
        totals = child.ask("mark")
        if all(totals[name] == value for name, value in expected.items()):
            return totals
    raise AssertionError(f"{totals} never had {expected}")


@pytest.mark.parametrize(
    ("messages", "faults"),
    [
        ([publication(1), publication(2), publication(3)], {}),
        ([publication(4), publication(6), publication(7)], {"lost": 1}),
        ([publication(1), publication(2), publication(2)], {"duplicates": 1}),
        ([publication(5), publication(6), publication(4)], {"reordered": 1}),
    ],
)
def test_order_and_completeness(log: Path, messages: list[bytes], faults: dict[str, int]) -> None:
    with crowd(log) as (child, server):
        peer = server.welcome()
        child.event("ready", 10)
        peer.send(b"".join(messages))
        assert until(child, deliveries=3)["faults"] == faults


@pytest.mark.parametrize(
    "message",
    [
        publication(1, size=499),
        publication(1, channel=1),
        publication(1).replace(b'"data":', b'"dato":'),
        frame(b"{}"),
        frame(b"not JSON"),
    ],
)
def test_what_is_not_a_publication(log: Path, message: bytes) -> None:
    with crowd(log) as (child, server):
        peer = server.welcome()
        child.event("ready", 10)
        peer.send(message, publication(1))
        assert until(child, deliveries=1)["faults"] == {"damaged": 1}


@pytest.mark.parametrize("step", [1, 7, 600])
def test_frames_may_be_cut_anywhere(log: Path, step: int) -> None:
    messages = b"".join(publication(counter) for counter in range(1, 6)) + RESTART
    with crowd(log) as (child, server):
        peer = server.welcome()
        child.event("ready", 10)
        peer.send(*(messages[at : at + step] for at in range(0, len(messages), step)))
        assert peer.read_frame() == b"\x03\xf4"
        peer.connection.shutdown(socket.SHUT_WR)
        totals = until(child, gone=1)
    assert (totals["deliveries"], totals["faults"]) == (5, {})
    assert totals["ends"] == {"closed 1012": 1}


def test_nothing_may_follow_a_close(log: Path) -> None:
    with crowd(log) as (child, server):
        peer = server.welcome()
        child.event("ready", 10)
        peer.send(RESTART + publication(1))
        peer.connection.shutdown(socket.SHUT_WR)
        assert until(child, gone=1)["ends"] == {"closed 1012 and more came": 1}


def test_who_stays_is_told_and_closed(log: Path) -> None:
    with crowd(log) as (child, server):
        peer = server.welcome()
        child.event("ready", 10)
        peer.send(publication(3) + publication(4) + RECONNECT + RESTART)
        peer.connection.shutdown(socket.SHUT_WR)
        until(child, gone=1)
        report = child.ask("report")
    (client,) = report["clients"]
    assert client["seen"] == [[3, 4]]
    assert [after_ms for _, after_ms in client["told"]] == [30]
    assert [code for _, code in client["closed"]] == [1012]
    assert sorted(report["sent_ns"]) == [[0, 3, 1], [0, 4, 1]]


def test_who_moves_leaves_once_it_is_subscribed_again(log: Path) -> None:
    with crowd(log, moves=True) as (child, server):
        old = server.welcome()
        child.event("ready", 10)
        old.send(publication(1) + RECONNECT)
        new = server.welcome()
        assert old.read_frame() == b"\x03\xe8", "closed with 1000"
        old.send(publication(2) + frame(b"\x03\xe8", opcode=8))
        old.connection.shutdown(socket.SHUT_WR)
        new.send(publication(3))
        until(child, deliveries=3, subscribed=1)
        report = child.ask("report")
    assert report["outcomes"] == {"subscribed": 2}
    assert report["clients"][0]["seen"] == [[1, 2], [3, 3]]


def test_who_moves_comes_back_when_cut_off(log: Path) -> None:
    with crowd(log, moves=True) as (child, server):
        peer = server.welcome()
        child.event("ready", 10)
        peer.connection.shutdown(socket.SHUT_WR)
        server.welcome()
        totals = until(child, subscribed=1)
    assert totals["ends"] == {"ended": 1}


def test_refusals_are_counted_by_what_came_instead(log: Path) -> None:
    with crowd(log, moves=True) as (child, server):
        server.accept().send(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
        server.accept().connection.shutdown(socket.SHUT_WR)
        early = server.accept()
        early.upgrade()
        early.send(RESTART)
        early.connection.shutdown(socket.SHUT_WR)
        server.welcome()
        outcomes = child.event("ready", 10)["outcomes"]
    assert outcomes == {"HTTP 503": 1, "ended": 1, "closed 1012": 1, "subscribed": 1}


def test_a_closed_door_is_a_refusal(log: Path) -> None:
    with crowd(log, moves=True) as (child, server):
        peer = server.welcome()
        child.event("ready", 10)
        server.listener.close()
        peer.connection.shutdown(socket.SHUT_WR)
        until(child, subscribed=0)
        while not (totals := child.ask("mark"))["outcomes"].get("refused"):
            pass
    assert set(totals["outcomes"]) <= {"subscribed", "refused", "reset"}
