"""What clients send while something is fetched for them: how much is kept, of whom."""

from __future__ import annotations

import pytest

from wsgate import waiting
from wsgate.session import Session
from wsgate.waiting import MESSAGE_BYTES, Waiting

ALL_BYTES_MAX = 1000
LARGE = b"x" * (200 - MESSAGE_BYTES)
SMALL = b"x" * (100 - MESSAGE_BYTES)


class Connection:
    """Waits, and knows whether it is read from."""

    def __init__(self) -> None:
        self.session = Session()
        self.session.begin_waiting()
        self.heard = self.held_back = False
        self.read = True

    def pause_reading(self) -> None:
        assert self.read
        self.read = False

    def resume_reading(self) -> None:
        assert not self.read and not self.held_back
        self.read = True


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Waiting[Connection]:
    monkeypatch.setattr(waiting, "BYTES_MAX", 200)
    monkeypatch.setattr(waiting, "ALL_BYTES_MAX", ALL_BYTES_MAX)
    return Waiting()


def test_who_sends_much_is_read_no_more_until_he_goes_on(kept: Waiting[Connection]) -> None:
    a = Connection()
    assert kept.keep(a, LARGE) and a.read
    for _ in range(2):  # of what was read already
        assert kept.keep(a, SMALL) and a.held_back and not a.read
    assert a.session.stop_waiting() == [LARGE, SMALL, SMALL]
    kept.over(a)
    assert a.read and a.heard and not a.held_back and kept.bytes == 0
    kept.over(a)


def test_all_together_have_a_bound(kept: Waiting[Connection]) -> None:
    connections = [Connection() for _ in range(6)]
    assert [kept.keep(one, LARGE) for one in connections] == [True] * 5 + [False]
    for one in connections:
        assert one.read
        kept.drop(one)
        assert one.session.waiting == []
    assert kept.bytes == 0


def test_those_that_are_held_back_leave_room_for_the_others(kept: Waiting[Connection]) -> None:
    a, b = Connection(), Connection()
    while kept.keep(a, SMALL):
        pass
    assert ALL_BYTES_MAX // 2 < kept.bytes <= ALL_BYTES_MAX // 2 + 100
    assert kept.keep(b, LARGE)


def test_an_empty_message_takes_room_too(kept: Waiting[Connection]) -> None:
    a = Connection()
    assert kept.keep(a, b"") and kept.bytes == MESSAGE_BYTES
