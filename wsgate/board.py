"""The board: what workers have to know of one another, in memory that all of them share.

Each writes its own line, and reads those of all: a limit over all workers costs no message. A line
is a few numbers of eight bytes, which the machine writes whole. Of a worker that has died the
supervisor wipes the line.
"""

from __future__ import annotations

import mmap
import os
from enum import IntEnum
from typing import Final

NUMBER_BYTES: Final = 8


class Column(IntEnum):
    CONNECTIONS = 0


class Board:
    """``lines`` of numbers behind the descriptor, all 0 at first."""

    def __init__(self, descriptor: int, lines: int) -> None:
        self.descriptor = descriptor
        self.lines = lines
        size = lines * len(Column) * NUMBER_BYTES
        # One more number, of the supervisor, for all.
        self._memory = mmap.mmap(descriptor, size + NUMBER_BYTES)
        self._numbers = memoryview(self._memory).cast("q")

    @classmethod
    def make(cls, lines: int) -> Board:
        descriptor = os.memfd_create("wsgate-board", 0)
        os.ftruncate(descriptor, (lines * len(Column) + 1) * NUMBER_BYTES)
        return cls(descriptor, lines)

    def write(self, line: int, column: Column, number: int) -> None:
        self._numbers[line * len(Column) + column] = number

    def total(self, column: Column) -> int:
        """Over all lines."""
        return sum(self._numbers[column : self.lines * len(Column) : len(Column)])

    def wipe(self, line: int) -> None:
        """The worker of this line is gone."""
        for column in Column:
            self.write(line, column, 0)

    @property
    def overloaded(self) -> bool:
        """CPU or memory of all workers together are past their limit: take no new clients."""
        return bool(self._numbers[-1])

    @overloaded.setter
    def overloaded(self, overloaded: bool) -> None:
        self._numbers[-1] = overloaded

    def close(self) -> None:
        self._numbers.release()
        self._memory.close()
        os.close(self.descriptor)
