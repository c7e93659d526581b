"""Counts by address: a table against a dictionary, and several that are one limit together."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsgate.addresses import CONNECTIONS_MAX as TABLE_CONNECTIONS_MAX
from wsgate.addresses import COUNT_BITS, TAG_BYTES, AddressCounts, Table, Tables
from wsgate.settings.groups.arrival import CONNECTIONS_MAX

SIZE = 512  # of the smallest table, and of a page of words

# Many for few places, at the table's end too, where what is behind it is at its beginning.
HOMES = [SIZE - 2, SIZE - 1, 0, 1, 2, 100]
TAGS = [home + SIZE * number for home in HOMES for number in range(4)]
LARGEST = 2 ** (8 * TAG_BYTES) - 1


def table() -> tuple[Table, memoryview[int]]:
    """One for 10 connections, and its entries."""
    words = memoryview(bytearray(2 * SIZE * 8)).cast("Q")
    made = Table(words)
    made.begin(10)
    return made, words[SIZE:]


def opened(tables: Tables, lines: int) -> Tables:
    """As another process has them."""
    return Tables.of(os.dup(tables.descriptor), lines)


@pytest.fixture
def tables() -> Iterator[Tables]:
    made = Tables.make(3)
    yield made
    os.close(made.descriptor)


# ----------------------------------------------------------------------------------- one table


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([*TAGS, LARGEST])), max_size=150))
def test_a_table_agrees_with_a_dictionary(calls: list[tuple[bool, int]]) -> None:
    counts, entries = table()
    model: Counter[int] = Counter()
    for adds, tag in calls:
        if adds:
            counts.add(tag)
            model[tag] += 1
        elif model[tag]:
            counts.remove(tag)
            model[tag] -= 1
        else:
            with pytest.raises(KeyError):
                counts.remove(tag)
        assert {one: counts.count(one) for one in model} == model
        assert counts.addresses == len(+model)
        held = sorted(entry for entry in entries if entry)
        assert held == sorted((one << COUNT_BITS) + count for one, count in (+model).items())


def test_a_table_as_full_as_it_may_be_is_searched_and_emptied() -> None:
    words = memoryview(bytearray((SIZE + 2048) * 8)).cast("Q")
    counts = Table(words)
    counts.begin(1000)
    for tag in range(0, 2000, 2):  # as bad as it gets: all for one place
        counts.add(tag << 11)
    assert all(counts.count(tag << 11) == 1 for tag in range(0, 2000, 2))
    assert not any(counts.count(tag << 11) for tag in range(1, 2000, 2))
    for tag in range(0, 2000, 2):
        counts.remove(tag << 11)
    assert not any(words[SIZE:])


@pytest.mark.parametrize(
    ("connections_max", "size"),
    [(1, 512), (256, 512), (257, 1024), (10_000, 32_768), (2**20, 2**21)],
)
def test_at_most_half_of_a_table_is_ever_used(connections_max: int, size: int) -> None:
    words = memoryview(bytearray(8 * SIZE)).cast("Q")
    Table(words).begin(connections_max)
    assert words[0] == size >= 2 * connections_max


@pytest.mark.parametrize("connections_max", [0, 2**20 + 1])
def test_there_is_a_largest_table(connections_max: int) -> None:
    with pytest.raises(ValueError, match="connections_max must be 1 to 1048576"):
        table()[0].begin(connections_max)
    assert CONNECTIONS_MAX <= TABLE_CONNECTIONS_MAX, "what the settings allow"


def test_a_table_that_nobody_uses_counts_nothing() -> None:
    words = memoryview(bytearray(2 * SIZE * 8)).cast("Q")
    counts = Table(words)
    assert counts.count(7) == 0
    counts.begin(10)
    counts.add(7)
    counts.add(7 + SIZE)
    counts.wipe()
    assert counts.count(7) == 0 and not any(words)
    counts.wipe()
    counts.begin(10)
    assert counts.count(7) == 0


# --------------------------------------------------------------------------------- all of them


def test_an_address_has_so_many_over_all_workers(tables: Tables) -> None:
    first = AddressCounts(3, 100, tables, 0)
    second = AddressCounts(3, 10_000, opened(tables, 3), 2)  # the settings were read anew
    first.enter("192.0.2.1")
    second.enter("192.0.2.1")
    assert first.has_room("192.0.2.1") and second.has_room("192.0.2.1")
    second.enter("192.0.2.1")
    assert not first.has_room("192.0.2.1") and not second.has_room("192.0.2.1")
    assert first.has_room("192.0.2.2") and second.has_room("192.0.2.2")
    second.leave("192.0.2.1")
    assert first.has_room("192.0.2.1") and second.has_room("192.0.2.1")


def test_who_came_in_a_race_is_counted_and_leaves(tables: Tables) -> None:
    one = AddressCounts(1, 100, tables, 0)
    other = AddressCounts(1, 100, opened(tables, 3), 1)
    assert one.has_room("a") and other.has_room("a")
    one.enter("a")
    other.enter("a")
    one.leave("a")
    assert not one.has_room("a")
    other.leave("a")
    assert one.has_room("a")


def test_who_has_none_here_is_not_counted_and_cannot_leave(tables: Tables) -> None:
    here = AddressCounts(2, 100, tables, 0)
    elsewhere = AddressCounts(2, 100, tables, 1)
    elsewhere.enter("a")
    assert (len(here), len(elsewhere)) == (0, 1)
    with pytest.raises(KeyError):
        here.leave("a")
    elsewhere.leave("a")
    assert len(elsewhere) == 0


def test_of_a_worker_that_is_gone_nothing_is_left(tables: Tables) -> None:
    survivor = AddressCounts(2, 100, tables, 0)
    victim = AddressCounts(2, 100, opened(tables, 3), 1)
    survivor.enter("a")
    victim.enter("a")
    victim.enter("b")
    assert not survivor.has_room("a")
    tables[1].wipe()
    assert survivor.has_room("a")
    successor = AddressCounts(2, 5000, opened(tables, 3), 1)
    assert len(successor) == 0
    successor.enter("a")
    assert not survivor.has_room("a")


def test_without_others_it_is_the_same() -> None:
    counts = AddressCounts(2, 10)
    for address in ("a", "a", "2001:db8::/64"):
        assert counts.has_room(address)
        counts.enter(address)
    assert not counts.has_room("a") and counts.has_room("2001:db8::/64")
    assert len(counts) == 2
    counts.leave("a")
    assert counts.has_room("a")


def test_a_maximum_of_nothing_is_none() -> None:
    with pytest.raises(ValueError, match="per_address_max must be at least 1, not 0"):
        AddressCounts(0, 10)


def test_nobody_outside_knows_what_is_written_for_an_address(tables: Tables) -> None:
    assert opened(tables, 3).tag("192.0.2.1") == tables.tag("192.0.2.1") <= LARGEST
    others = [Tables.private().tag("192.0.2.1") for _ in range(3)]
    assert len({tables.tag("192.0.2.1"), *others}) == 4


def test_what_is_not_used_takes_no_memory(tables: Tables) -> None:
    def kilobytes() -> float:
        return os.fstat(tables.descriptor).st_blocks / 2

    assert kilobytes() <= 2048, "the page of the key, be it a huge one"
    counts = AddressCounts(2, 10_000, tables, 0)
    for number in range(10_000):
        counts.enter(str(number))
    assert kilobytes() <= 2 * 2048


CHURN = """
import random, sys
from wsgate.addresses import Tables

descriptor, line = int(sys.argv[1]), int(sys.argv[2])
table = Tables.of(descriptor, 3)[line]
table.begin(10)
held = []
some = random.Random(line)
table.add(512)  # not the first in its place for long, and then again
for _ in range(30_000):
    if held and some.random() < len(held) / 40:
        table.remove(held.pop(some.randrange(len(held))))
    else:
        held.append(512 * some.randrange(60) + some.choice([508, 511, 0, 0, 1, 3]))
        if held[-1] == 512:
            held.pop()
        else:
            table.add(held[-1])
for tag in held:
    table.remove(tag)
table.add(512 * 70)
"""

COMING_AND_GOING = """
import sys
from wsgate.addresses import Tables

descriptor, line = int(sys.argv[1]), int(sys.argv[2])
table = Tables.of(descriptor, 3)[line]
for number in range(30_000):
    table.begin(10 if number % 2 else 1000)
    table.add(512)
    table.wipe()
"""


def test_who_reads_while_others_write_sees_what_is_or_just_was(tables: Tables) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tables.descriptor), str(line)],
            pass_fds=[tables.descriptor],
        )
        for line, code in enumerate([CHURN, COMING_AND_GOING, CHURN])
    ]
    try:
        while any(writer.poll() is None for writer in writers):
            for one in tables:
                assert one.count(512) in (0, 1), "there, or not seen as it is moved"
                assert one.count(512 * 3 + 1) <= 40
                assert one.count(512 * 61) == 0, "never written"
        assert [writer.returncode for writer in writers] == [0, 0, 0]
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    assert [one.count(512) for one in tables] == [1, 0, 1]
    assert [one.count(512 * 70) for one in tables] == [1, 0, 1]
    assert [one.count(512 * 3 + 1) for one in tables] == [0, 0, 0]
