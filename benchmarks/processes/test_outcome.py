"""What is made of a report, and of several runs."""

from __future__ import annotations

import pytest

from benchmarks.processes.figures import Figure, Kind, combined, fault, missed, without_targets
from benchmarks.processes.outcome import Became, Outcome, fullest_bin, unevenness


def client(*seen: tuple[int, int], closed_s: float | None = None) -> Became:
    closed = [] if closed_s is None else [(closed_s, 1012)]
    return Became(channel=0, seen=seen, told=[], closed=closed)


@pytest.mark.parametrize(
    ("seen", "holes"),
    [
        ([(1, 5)], 0),
        ([(1, 5), (6, 9)], 0),
        ([(1, 5), (4, 9)], 0),
        ([(8, 9), (1, 5)], 2),
        ([(1, 9), (3, 4), (11, 12)], 1),
        ([], 0),
    ],
)
def test_holes_between_connections(seen: list[tuple[int, int]], holes: int) -> None:
    assert client(*seen).holes() == holes


def test_what_was_published_before_and_not_delivered() -> None:
    sent_s = {0: {number: float(number) for number in range(1, 10)}}
    until = Outcome({}, sent_s, []).last_before(6.5)
    assert until == {0: 6}
    for one, missing in [
        (client((1, 6)), 0),
        (client((1, 9)), 0),
        (client((1, 4)), 2),
        (client((3, 6)), 2),
        (client((1, 2), (4, 6)), 1),
        (client(), 6),
    ]:
        assert Outcome({}, sent_s, [one]).undelivered(until) == missing


def test_age_of_what_a_close_came_before() -> None:
    sent_s = {0: {number: float(number) for number in range(1, 10)}}
    age = lambda *clients: Outcome({}, sent_s, clients).missed_age_max_s()  # noqa: E731
    assert age(client((1, 5), closed_s=5.5)) == 0
    assert age(client((1, 5), closed_s=5.5), client((1, 5), closed_s=8.0)) == 2
    assert age(client((1, 9), closed_s=20)) == 0


def test_fullest_bin() -> None:
    even = [step / 100 for step in range(1001)]
    assert fullest_bin(even) == pytest.approx(1, abs=0.15)
    assert fullest_bin(even + [5.05] * 10) == pytest.approx(2, abs=0.15)
    assert fullest_bin([]) == 0


def test_unevenness() -> None:
    assert unevenness([3, 1, 2, 0]) == pytest.approx(0)
    assert unevenness([0, 0, 0, 10]) == pytest.approx(2 / 3)
    assert unevenness([5, 5]) == 1


def test_of_several_runs() -> None:
    runs = [
        [
            fault("lost", lost, ""),
            Figure("took_s", took_s, "", at_most=3),
            Figure("cpu", cpu, "", Kind.COST, at_most=3),
        ]
        for lost, took_s, cpu in [(0, 1, 1), (2, 9, 9), (0, 2, 2)]
    ]
    found = combined(runs)
    assert [one.value for one in found] == [2, 9, 2]
    assert [one.name for one in missed(found)] == ["lost", "took_s"]
    assert [one.name for one in missed(without_targets(found))] == ["lost"]
    assert not missed([Figure("doubtful", 1, "", Kind.DOUBT, at_most=0)])
