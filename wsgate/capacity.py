"""Capacity: whether there is room for one more connection, over all workers."""

from __future__ import annotations

from wsgate.board import Board, Column


class Capacity:
    """``board`` and ``line``: where this worker's count stands beside those of the others."""

    def __init__(self, connections_max: int, board: Board | None = None, line: int = 0) -> None:
        self._connections_max = connections_max
        self._board = board
        self._line = line
        self._own = 0

    def enter(self) -> None:
        self._set(self._own + 1)

    def leave(self) -> None:
        self._set(self._own - 1)

    @property
    def lack(self) -> str | None:
        """Why nobody more may come, as a label for counters; None if he may."""
        if self._board is None:
            return "capacity" if self._own >= self._connections_max else None
        if self._board.total(Column.CONNECTIONS) >= self._connections_max:
            return "capacity"
        return "overload" if self._board.overloaded else None

    def _set(self, count: int) -> None:
        self._own = count
        if self._board is not None:
            self._board.write(self._line, Column.CONNECTIONS, count)
