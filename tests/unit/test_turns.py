"""Logins and commands take turns: in order for each connection, with a made-up clock and loop."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import cast

import pytest

from tests.support.made_up_loop import MadeUpLoop
from wsgate import turns
from wsgate.turns import ROUND_S, Rest, Turns

COST_S = ROUND_S / 2


class Connection:
    """Knows whether it is read from."""

    def __init__(self, name: str, *, established: bool = False) -> None:
        self.name = name
        self.established = established
        self.read = True

    def pause_reading(self) -> None:
        assert self.read
        self.read = False

    def resume_reading(self) -> None:
        assert not self.read
        self.read = True


class Loop(MadeUpLoop):
    """And what came of the commands."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.handled: list[str] = []
        self.failed: list[Connection] = []
        monkeypatch.setattr(turns, "now_s", lambda: self.now_s)

    def let_in(self, connection: Connection) -> None:
        """Each costs half of what a round may, as the next do."""
        self.carry_out(connection, b"+")

    def carry_out(self, connection: Connection, message: bytes) -> Rest | None:
        self.now_s += COST_S
        if message == b"!":
            raise ZeroDivisionError
        self.handled.append(f"{connection.name}{message.decode()}")
        if len(message) > 1:
            return partial(self.carry_out, connection, message[:-1])
        return None


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    return Loop(monkeypatch)


@pytest.fixture
def queue(loop: Loop) -> Turns[Connection]:
    return Turns(
        cast(asyncio.AbstractEventLoop, loop), loop.let_in, loop.carry_out, loop.failed.append
    )


def send(queue: Turns[Connection], connection: Connection, count: int, first: int = 1) -> None:
    for number in range(first, first + count):
        queue.take(connection, b"%x" % number)


def test_what_fits_in_a_round_is_handled_at_once(loop: Loop, queue: Turns[Connection]) -> None:
    a = Connection("a")
    for round_number in range(5):
        send(queue, a, 2, 2 * round_number)
        loop.round()
    assert loop.handled == [f"a{number}" for number in range(10)]
    assert a.read and queue.put_off == 0


def test_the_rest_waits_for_the_next_rounds(loop: Loop, queue: Turns[Connection]) -> None:
    a = Connection("a")
    send(queue, a, 7)
    assert loop.handled == ["a1", "a2"]
    assert not a.read and queue.put_off == 5 and len(queue) == 1
    loop.round()
    assert loop.handled == ["a1", "a2", "a3", "a4"]
    loop.round()
    assert not a.read
    loop.round()
    assert loop.handled == [f"a{number}" for number in range(1, 8)]
    assert a.read and len(queue) == 0
    loop.round()
    assert not loop.handles


def test_who_comes_later_does_not_overtake_himself(loop: Loop, queue: Turns[Connection]) -> None:
    a = Connection("a")
    send(queue, a, 4)
    loop.now_s += 1  # others keep the loop busy
    send(queue, a, 1, first=5)
    assert loop.handled == ["a1", "a2"]
    for _ in range(2):
        loop.round()
    assert loop.handled == ["a1", "a2", "a3", "a4", "a5"]


def test_what_had_to_wait_for_more_comes_before_what_waits(
    loop: Loop, queue: Turns[Connection]
) -> None:
    a = Connection("a")
    send(queue, a, 5)
    queue.take_first(a, [b"x", b"y"])
    for _ in range(3):
        loop.round()
    assert loop.handled == ["a1", "a2", "ax", "ay", "a3", "a4", "a5"]
    assert a.read and queue._waiting_bytes == 0
    loop.round()
    queue.take_first(a, [b"x", b"y", b"z"])
    assert loop.handled[7:] == ["ax", "ay"] and not a.read
    loop.round()
    assert loop.handled[9:] == ["az"] and a.read


def test_who_sends_many_delays_himself(loop: Loop, queue: Turns[Connection]) -> None:
    a, b = Connection("a"), Connection("b")
    send(queue, a, 10)
    send(queue, b, 1)
    loop.round()
    assert loop.handled == ["a1", "a2", "a3", "b1"]
    assert b.read and not a.read


def test_who_comes_is_let_in_with_all_who_came_in_this_round(
    loop: Loop, queue: Turns[Connection]
) -> None:
    a, b, c = (Connection(name) for name in "abc")
    queue.enter(a)
    queue.enter(b)
    assert loop.handled == []
    loop.round()
    assert loop.handled == ["a+", "b+"]
    send(queue, c, 1)  # this round's time is over
    assert not c.read
    loop.round()
    assert loop.handled == ["a+", "b+", "c1"]
    assert c.read and queue.put_off == 1


def test_what_a_newcomer_asks_for_waits_until_he_is_in(
    loop: Loop, queue: Turns[Connection]
) -> None:
    a, b = Connection("a"), Connection("b")
    queue.enter(a)
    assert a.read  # more often than not he has nothing to say yet
    send(queue, a, 2)
    assert not a.read
    send(queue, b, 1)  # who is in need not wait for those who are not
    assert loop.handled == ["b1"]
    loop.round()
    loop.round()
    assert loop.handled == ["b1", "a+", "a1", "a2"]
    assert a.read


def test_a_rush_of_newcomers_is_spread_over_rounds(loop: Loop, queue: Turns[Connection]) -> None:
    connections = [Connection(str(number)) for number in range(6)]
    for connection in connections:
        queue.enter(connection)
    for let_in in (2, 4, 6):
        loop.round()
        assert len(loop.handled) == let_in
    queue.enter(connections[0])
    queue.settle(connections[0])
    assert loop.handled[-1] == "0+"
    queue.enter(connections[1])
    queue.leave(connections[1])
    loop.round()
    loop.round()
    assert loop.handled[-1] == "0+" and not loop.handles


def test_one_command_is_handled_in_each_round_however_dear(
    loop: Loop, queue: Turns[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "ROUND_S", COST_S / 10)
    a = Connection("a")
    send(queue, a, 4)
    for handled in range(1, 5):
        assert len(loop.handled) == handled
        loop.round()


def test_what_comes_before_the_end_is_handled_before_it(
    loop: Loop, queue: Turns[Connection]
) -> None:
    a, b = Connection("a"), Connection("b")
    send(queue, a, 4)
    send(queue, b, 2)
    queue.settle(b)
    assert loop.handled == ["a1", "a2", "b1", "b2"]
    assert b.read and not a.read
    queue.settle(b)  # nothing waits
    assert loop.handled == ["a1", "a2", "b1", "b2"]


def test_who_is_gone_is_forgotten(loop: Loop, queue: Turns[Connection]) -> None:
    a = Connection("a")
    send(queue, a, 5)
    queue.leave(a)
    loop.round()
    assert loop.handled == ["a1", "a2"]
    assert len(queue) == 0
    loop.round()
    assert not loop.handles


def test_past_its_bound_nothing_more_waits_and_the_order_stays(
    loop: Loop, queue: Turns[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "WAITING_BYTES_MAX", 3)
    a = Connection("a")
    send(queue, a, 5)
    assert loop.handled == ["a1", "a2"]
    send(queue, a, 1, first=6)
    assert loop.handled == ["a1", "a2", "a3", "a4", "a5", "a6"]
    send(queue, a, 3, first=7)  # there is room again
    assert len(loop.handled) == 6
    for _ in range(2):
        loop.round()
    assert loop.handled[6:] == ["a7", "a8", "a9"]
    assert a.read


def test_what_raises_is_told_and_keeps_nobody_waiting(loop: Loop, queue: Turns[Connection]) -> None:
    a, b = Connection("a"), Connection("b")
    send(queue, a, 2)
    queue.take(a, b"!")
    send(queue, b, 1)
    loop.round()
    assert loop.failed == [a]
    assert loop.handled == ["a1", "a2", "b1"]


def test_what_raises_at_once_is_the_callers_to_see(queue: Turns[Connection]) -> None:
    with pytest.raises(ZeroDivisionError):
        queue.take(Connection("a"), b"!")


def test_nothing_is_handled_after_stop(loop: Loop, queue: Turns[Connection]) -> None:
    send(queue, Connection("a"), 5)
    queue.stop()
    loop.round()
    assert loop.handled == ["a1", "a2"]


def test_what_was_read_waits_between_what_was_asked_before_and_after(
    loop: Loop, queue: Turns[Connection]
) -> None:
    a, b = Connection("a"), Connection("b")
    assert queue.has_time()
    send(queue, a, 3)  # the third waits
    assert not queue.has_time()
    queue.wait(b, lambda: loop.handled.append("b, read"))
    assert not a.read and not b.read and queue.put_off == 2
    queue.wait(a, lambda: loop.handled.append("a, read"))
    loop.round()
    assert loop.handled == ["a1", "a2", "a3", "b, read", "a, read"]
    assert a.read and b.read and len(queue) == 0


def test_what_was_read_of_who_is_gone_is_not_looked_at(
    loop: Loop, queue: Turns[Connection]
) -> None:
    a = Connection("a")
    queue.wait(a, lambda: loop.handled.append("a, read"))
    queue.leave(a)
    queue.settle(a)
    loop.round()
    assert loop.handled == [] and a.read


# What is too much for one go


def test_a_long_command_takes_as_many_rounds_as_it_needs(
    loop: Loop, queue: Turns[Connection]
) -> None:
    a, b = Connection("a"), Connection("b")
    queue.take(a, b"543")
    assert loop.handled == ["a543", "a54"] and not a.read
    send(queue, a, 1)
    send(queue, b, 1)
    loop.round()
    assert loop.handled == ["a543", "a54", "a5", "b1"], "others have their turn in between"
    loop.round()
    assert loop.handled[4:] == ["a1"] and a.read and b.read


def test_what_a_long_command_leaves_comes_before_what_was_asked_after_it(
    loop: Loop, queue: Turns[Connection]
) -> None:
    a = Connection("a")
    send(queue, a, 2)
    queue.take(a, b"543")
    send(queue, a, 1)
    for _ in range(2):
        loop.round()
    assert loop.handled == ["a1", "a2", "a543", "a54", "a5", "a1"] and a.read


@pytest.mark.parametrize("waits", [False, True])
def test_a_long_command_is_done_whole_before_the_end(
    loop: Loop, queue: Turns[Connection], waits: bool
) -> None:
    a = Connection("a")
    send(queue, a, 2 if waits else 0)
    queue.take(a, b"54321")
    queue.settle(a)
    assert loop.handled[-1] == "a5" and len(queue) == 0 and a.read


def test_a_long_command_that_finds_no_room_to_wait_is_done_whole(
    loop: Loop, queue: Turns[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "WAITING_BYTES_MAX", 0)
    a = Connection("a")
    send(queue, a, 2)
    queue.take(a, b"54321")
    assert loop.handled[-1] == "a5" and len(queue) == 0 and a.read


# Who rests


def test_nobody_rests_while_nobody_waits(loop: Loop, queue: Turns[Connection]) -> None:
    a = Connection("a", established=True)
    send(queue, a, 2)
    assert not queue.crowded and a.read


def test_who_waited_is_listened_to_again_in_his_turn(
    loop: Loop, queue: Turns[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "LISTENED_TO", 2)
    first = Connection("x", established=True)
    crowd = [Connection(str(number), established=True) for number in range(6)]
    queue.take(first, b"1")
    queue.take(first, b"2")  # this round's time is over
    for one in crowd:
        queue.wait(one, lambda: None)  # costs nothing: all of them are looked at in one round
    loop.round()
    assert len(queue) == 0 and queue.crowded
    assert not any(one.read for one in crowd), "all in one round: they rest"
    for heard in (2, 4, 6):
        loop.round()
        assert [one.read for one in crowd] == [True] * heard + [False] * (6 - heard)
    assert not queue.crowded
    loop.round()
    assert not loop.handles


def test_who_is_read_while_others_rest_does_so_behind_them(
    loop: Loop, queue: Turns[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "LISTENED_TO", 1)
    a, b, newcomer = (Connection(n, established=n != "c") for n in "abc")
    queue.rest(a)
    queue.rest(a)  # once is enough
    queue.rest(b)
    queue.rest(newcomer)
    assert not a.read and not b.read and newcomer.read
    loop.round()
    assert a.read and not b.read
    queue.rest(a)
    loop.round()
    assert b.read and not a.read
    loop.round()
    assert a.read


def test_who_rests_may_have_to_wait_or_leave(loop: Loop, queue: Turns[Connection]) -> None:
    a, b = (Connection(name, established=True) for name in "ab")
    queue.rest(a)
    queue.rest(b)
    send(queue, b, 3)  # what TLS had still to hand on
    queue.leave(a)
    loop.round()
    assert loop.handled == ["b1", "b2", "b3"]
    assert not a.read and not b.read
    loop.round()
    assert b.read and not queue.crowded
