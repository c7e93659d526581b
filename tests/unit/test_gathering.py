"""Clients that come fast are accepted a few at a time: on a real epoll, with a made-up loop."""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import cast

import pytest

from tests.support.made_up_loop import MadeUpLoop
from wsgate.edge.gathering import GROUP_LEAST, PAUSE_S, REST_S, VAIN_MAX, Gathering


class Door:
    """Two descriptors of one listening socket, the clients that came, and who gathers them."""

    def __init__(self) -> None:
        self.loop = MadeUpLoop()
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setblocking(False)
        self.listening = [listening, listening.dup()]
        self.poll = select.epoll()
        for one in self.listening:
            self.poll.register(one, select.EPOLLIN)
        loop = cast(asyncio.AbstractEventLoop, self.loop)
        descriptors = [one.fileno() for one in self.listening]
        self.gathering = Gathering(loop, self.poll.fileno(), descriptors)
        self.clients: list[socket.socket] = []

    def come(self, count: int = 1) -> None:
        for _ in range(count):
            self.clients.append(socket.create_connection(self.listening[0].getsockname()))

    def accept_all(self) -> int:
        """As the event loop does it: one for each descriptor that is ready, and a round."""
        accepted = 0
        by_number = {one.fileno(): one for one in self.listening}
        while ready := self.poll.poll(0):
            for number, _ in ready:
                with suppress(BlockingIOError):
                    self.clients.append(by_number[number].accept()[0])
                    accepted += 1
                    self.gathering.accepted()
            self.loop.round()
        self.loop.round()
        return accepted

    def close(self) -> None:
        self.gathering.stop()
        for one in (*self.clients, *self.listening, self.poll):
            one.close()


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door()
    yield door
    door.close()


def test_the_first_waits_for_nothing(door: Door) -> None:
    door.come()
    assert door.accept_all() == 1


def test_who_comes_right_after_is_gathered(door: Door) -> None:
    door.come()
    door.accept_all()
    door.come(3)
    assert door.accept_all() == 0
    door.loop.round(PAUSE_S)
    assert door.accept_all() == 3


def test_all_who_wait_are_accepted_before_a_pause(door: Door) -> None:
    door.come(20)
    assert door.accept_all() == 20
    assert door.gathering.pauses == 1


def test_a_group_is_followed_by_a_pause_for_as_long_as_they_come(door: Door) -> None:
    for _ in range(10 * VAIN_MAX):
        door.come(GROUP_LEAST)
        assert door.accept_all() == GROUP_LEAST
        door.loop.round(PAUSE_S)
    assert door.gathering.pauses == 10 * VAIN_MAX


def test_who_comes_again_and_again_is_not_made_to_wait_for_nothing(door: Door) -> None:
    for _ in range(VAIN_MAX):
        door.come()
        assert door.accept_all() == 1
        door.loop.round(PAUSE_S)
    for _ in range(50):
        door.come()
        assert door.accept_all() == 1  # at once
    assert door.gathering.pauses == VAIN_MAX


def test_after_a_rest_it_is_tried_again(door: Door) -> None:
    for _ in range(VAIN_MAX + 1):
        door.come()
        door.accept_all()
        door.loop.round(PAUSE_S)
    door.loop.round(REST_S)
    door.come(GROUP_LEAST)
    door.accept_all()
    assert door.gathering.pauses == VAIN_MAX + 1


def test_nothing_is_done_after_stop(door: Door) -> None:
    door.come()
    door.accept_all()
    door.gathering.stop()
    for one in door.listening:
        door.poll.unregister(one)  # as the event loop does with what it closes
    door.loop.round(PAUSE_S)


def test_a_descriptor_that_became_a_clients_is_left_alone(door: Door) -> None:
    """libuv may give a server up at any time; the acceptor finds out within a second."""
    door.come()
    door.accept_all()
    client, other_end = socket.socketpair()
    with client, other_end:
        number = door.listening[1].fileno()
        door.listening[1].close()
        os.dup2(client.fileno(), number)
        door.poll.register(number, select.EPOLLOUT)
        door.loop.round(PAUSE_S)
        assert door.poll.poll(0) == [(number, select.EPOLLOUT)]
        door.poll.unregister(number)
        os.close(number)
    door.come()
    assert door.accept_all() == 1


def test_without_a_descriptor_there_is_nothing_to_gather(door: Door) -> None:
    loop = cast(asyncio.AbstractEventLoop, door.loop)
    with pytest.raises(OSError, match="-1 is not open"):
        Gathering(loop, door.poll.fileno(), [-1])
