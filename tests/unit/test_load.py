"""What workers use, against limits: with made-up processes and a made-up clock."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from wsgate.board import Board
from wsgate.heap import give_back
from wsgate.supervisor.load import Load, LoadLimits, Use, use_of

MB = 1024 * 1024


class Machine:
    def __init__(self, board: Board, limits: LoadLimits) -> None:
        self.now_s = 100.0
        self.processes: dict[int, Use] = {}
        self.load = Load(board, limits, self.processes.get, lambda: self.now_s)

    def second(self, **used: tuple[float, int]) -> None:
        """One passes, in which each process uses so much CPU, and has so much memory after it."""
        self.now_s += 1
        for name, (cpu_s, memory_bytes) in used.items():
            pid = int(name[1:])
            before = self.processes.get(pid, Use(0.0, 0))
            self.processes[pid] = Use(before.cpu_s + cpu_s, memory_bytes)
        self.load.measure(list(self.processes))


@pytest.fixture
def board() -> Iterator[Board]:
    made = Board.make(2)
    yield made
    made.close()


def test_cpu_of_all_processes_over_the_last_second(board: Board) -> None:
    machine = Machine(board, LoadLimits(cpu_cores=1.0, memory_bytes=None))
    machine.second(p1=(5.0, MB), p2=(5.0, MB))
    assert machine.load.cores == 0.0, "what was used before they were first seen"
    machine.second(p1=(0.5, MB), p2=(0.4, MB))
    assert machine.load.cores == pytest.approx(0.9) and not board.overloaded
    machine.second(p1=(0.7, MB), p2=(0.4, MB))
    assert machine.load.cores == pytest.approx(1.1) and board.overloaded
    machine.second(p1=(0.7, MB), p2=(0.5, MB))
    assert machine.load.overloads == 1, "it is the same one"
    machine.second(p1=(0.1, MB), p2=(0.1, MB))
    assert not board.overloaded, "it has fallen"


def test_memory_of_all_processes(board: Board) -> None:
    machine = Machine(board, LoadLimits(cpu_cores=None, memory_bytes=10 * MB))
    machine.second(p1=(0.0, 5 * MB), p2=(0.0, 5 * MB))
    assert machine.load.memory_bytes == 10 * MB and not board.overloaded
    machine.second(p1=(0.0, 6 * MB))
    assert board.overloaded
    del machine.processes[2]  # it died
    machine.second()
    assert machine.load.memory_bytes == 6 * MB and not board.overloaded


def test_what_is_gone_or_new_does_no_harm(board: Board) -> None:
    machine = Machine(board, LoadLimits(cpu_cores=0.5, memory_bytes=None))
    machine.second(p1=(1.0, MB))
    machine.load.measure([1, 99])
    del machine.processes[1]
    machine.second(p2=(50.0, MB))
    assert machine.load.cores == 0.0 and not board.overloaded


def test_this_process_as_the_kernel_has_it() -> None:
    use = use_of(os.getpid())
    assert use is not None and use.cpu_s > 0 and use.memory_bytes > MB
    assert use_of(2**22 + 1) is None, "past the largest there can be"


def test_the_board_is_wiped_line_by_line(board: Board) -> None:
    from wsgate.board import Column

    board.write(0, Column.CONNECTIONS, 3)
    board.write(1, Column.CONNECTIONS, 4)
    again = Board(os.dup(board.descriptor), 2)  # as another process has it
    assert again.total(Column.CONNECTIONS) == 7
    board.wipe(1)
    assert again.total(Column.CONNECTIONS) == 3
    again.overloaded = True
    assert board.overloaded
    again.close()


def test_free_memory_goes_back_to_the_system() -> None:
    """Blocks that are in use at the end keep glibc from doing it by itself."""
    held = [b"%d" % number * 30_000 for number in range(100, 1600)]
    last = held[-1]
    held.clear()
    assert last is not None
    before = use_of(os.getpid())
    give_back()
    after = use_of(os.getpid())
    assert before is not None and after is not None
    assert after.memory_bytes < before.memory_bytes - 50 * MB
