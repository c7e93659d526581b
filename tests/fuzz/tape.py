"""Bytes read as choices: how an input says what is to happen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Tape:
    """Reads from the front. Past the end everything is 0, so that every input means something."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        """Whether anything is left."""
        return self._at < len(self._data)

    def bytes(self, size: int) -> bytes:
        """The next bytes: `size` of them, or as many as there are."""
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken

    def rest(self) -> bytes:
        return self.bytes(len(self._data))

    def number(self, most: int) -> int:
        """From 0 to `most`."""
        size = (most.bit_length() + 7) // 8
        return int.from_bytes(self.bytes(size), "big") % (most + 1)

    def one_of(self, choices: Sequence[T]) -> T:
        return choices[self.number(len(choices) - 1)]


def pieces(data: bytes, size: int) -> list[bytes]:
    """As a network may cut it: in pieces of `size` bytes, or whole with 0."""
    if not size:
        return [data] if data else []
    return [data[at : at + size] for at in range(0, len(data), size)]
