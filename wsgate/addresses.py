"""Live connections by address, counted over all workers, in memory that all of them share.

Each worker has a table that nobody else writes, and reads those of all: what an address has is
known without a message. A table that no worker has now is empty; of one that has died the
supervisor wipes it.

Of an address stands there 40 bits of a hash, and its count beside it in one number of eight bytes,
which the machine writes whole. The hash has a key that nobody outside knows, so no client can look
for addresses that meet in one place. Two may meet all the same: of 10,000 addresses, once in 20,000
times; they are then counted as one.

A table is open addressing with linear probing, at most half full. Nothing is left of what is
deleted: entries behind it move back into the hole. Each is written to its new place before its old
one is reused, and x86 shows writes in their order, so only a reader who is between the two may miss
it; ARM may show them in any order, so anybody may, for the same instant. Nothing comes of it but
that one client more is let in, as it also does when two workers are asked at once.
"""

from __future__ import annotations

import mmap
import os
import secrets
from collections.abc import Iterator
from hashlib import blake2b
from typing import Final

CONNECTIONS_MAX: Final = 2**20  # of one worker
COUNT_BITS: Final = 24
TAG_BYTES: Final = 5

_COUNT_MASK: Final = (1 << COUNT_BITS) - 1
_KEY_BYTES: Final = 16
_WORD_BYTES: Final = 8
_PAGE_WORDS: Final = 512
# Addresses only: of what is not written to, the kernel makes no memory. So each table may have the
# size that its worker's limits ask for, which others have after the settings were read anew.
_TABLE_WORDS: Final = _PAGE_WORDS + 2 * CONNECTIONS_MAX


class Table:
    """One worker's: counts by tag. ``words`` are a page, of which the first is its size, and it.

    Only one process may ``begin``, ``add`` and ``remove``.
    """

    __slots__ = ("_entries", "_header", "addresses")

    def __init__(self, words: memoryview[int]) -> None:
        self._header = words[:_PAGE_WORDS]
        self._entries = words[_PAGE_WORDS:]
        self.addresses = 0
        """With connections, as far as they were added here."""

    def begin(self, connections_max: int) -> None:
        """Use an empty table for so many connections, and for a few that came in a race."""
        if not 0 < connections_max <= CONNECTIONS_MAX:
            raise ValueError(
                f"connections_max must be 1 to {CONNECTIONS_MAX}, not {connections_max}"
            )
        self._header[0] = max(_PAGE_WORDS, 1 << (2 * connections_max - 1).bit_length())

    def count(self, tag: int) -> int:
        """Any process may ask."""
        size = self._header[0]
        return self._find(tag, size)[1] & _COUNT_MASK if size else 0

    def add(self, tag: int) -> None:
        place, entry = self._find(tag, self._header[0])
        if not entry:
            self.addresses += 1
            entry = tag << COUNT_BITS
        self._entries[place] = entry + 1

    def remove(self, tag: int) -> None:
        """Takes back one ``add``; KeyError if there is none."""
        place, entry = self._find(tag, self._header[0])
        if not entry:
            raise KeyError(tag)
        if entry & _COUNT_MASK > 1:
            self._entries[place] = entry - 1
        else:
            self.addresses -= 1
            self._vacate(place)

    def wipe(self) -> None:
        """Its worker is gone."""
        size = self._header[0]
        self._header[0] = 0  # first, so that nobody begins to read it
        self._entries[:size] = memoryview(bytes(size * _WORD_BYTES)).cast("Q")

    def _find(self, tag: int, size: int) -> tuple[int, int]:
        """The place where the tag is or would be, and what is there: its entry or 0.

        ``size`` is looked up by the caller, once: whoever reads while the table is wiped goes on
        with what it was.
        """
        entries = self._entries
        place = tag & (size - 1)
        for _ in range(size):
            entry = entries[place]
            if not entry or entry >> COUNT_BITS == tag:
                return place, entry
            place = (place + 1) & (size - 1)
        raise AssertionError("a table of addresses is full")

    def _vacate(self, hole: int) -> None:
        """Up to the next free place, entries move back that would not be found behind a hole."""
        entries, mask = self._entries, self._header[0] - 1
        place = (hole + 1) & mask
        while entry := entries[place]:
            home = (entry >> COUNT_BITS) & mask
            if (place - home) & mask >= (place - hole) & mask:
                entries[hole] = entry
                hole = place
            place = (place + 1) & mask
        entries[hole] = 0


class Tables:
    """One for each line, shared by all processes that have the ``descriptor``; -1: by none."""

    def __init__(self, memory: mmap.mmap, lines: int, descriptor: int = -1) -> None:
        self.descriptor = descriptor
        self._words = memoryview(memory).cast("Q")
        self._keyed = blake2b(digest_size=TAG_BYTES, key=memory[:_KEY_BYTES])
        self._tables = [
            Table(self._words[start : start + _TABLE_WORDS])
            for start in range(_PAGE_WORDS, _size(lines) // _WORD_BYTES, _TABLE_WORDS)
        ]

    @classmethod
    def make(cls, lines: int) -> Tables:
        """To be shared, as :meth:`of` has it."""
        descriptor = os.memfd_create("wsgate-addresses", 0)
        os.ftruncate(descriptor, _size(lines))
        os.pwrite(descriptor, secrets.token_bytes(_KEY_BYTES), 0)
        return cls.of(descriptor, lines)

    @classmethod
    def of(cls, descriptor: int, lines: int) -> Tables:
        return cls(mmap.mmap(descriptor, _size(lines)), lines, descriptor)

    @classmethod
    def private(cls) -> Tables:
        """With one line."""
        memory = mmap.mmap(-1, _size(1))
        memory[:_KEY_BYTES] = secrets.token_bytes(_KEY_BYTES)
        return cls(memory, 1)

    def __getitem__(self, line: int) -> Table:
        return self._tables[line]

    def __iter__(self) -> Iterator[Table]:
        return iter(self._tables)

    def tag(self, address: str) -> int:
        """What is written for it."""
        hashed = self._keyed.copy()
        hashed.update(address.encode())
        return int.from_bytes(hashed.digest(), "little")


class AddressCounts:
    """At most ``per_address_max`` live connections of each address, over all ``tables``.

    ``line``: which of them is this worker's, who has at most ``connections_max``. Without tables
    there are no others.
    """

    __slots__ = ("_own", "_per_address_max", "_tables")

    def __init__(
        self,
        per_address_max: int,
        connections_max: int,
        tables: Tables | None = None,
        line: int = 0,
    ) -> None:
        if per_address_max < 1:
            raise ValueError(f"per_address_max must be at least 1, not {per_address_max}")
        self._per_address_max = per_address_max
        self._tables = tables or Tables.private()
        self._own = self._tables[line]
        self._own.begin(connections_max)

    def __len__(self) -> int:
        """Addresses that have connections, in this worker."""
        return self._own.addresses

    def has_room(self, address: str) -> bool:
        """Whether one more may enter."""
        tag, count = self._tables.tag(address), 0
        for table in self._tables:
            count += table.count(tag)
        return count < self._per_address_max

    def enter(self, address: str) -> None:
        """Counts one more, which had room when it was asked for."""
        self._own.add(self._tables.tag(address))

    def leave(self, address: str) -> None:
        """Counts one less, of those that entered here; KeyError if there is none."""
        self._own.remove(self._tables.tag(address))


def _size(lines: int) -> int:
    """In bytes: a page for the key, and the tables."""
    return (_PAGE_WORDS + lines * _TABLE_WORDS) * _WORD_BYTES
