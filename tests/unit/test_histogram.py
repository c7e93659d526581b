from __future__ import annotations

import pytest

from wsgate.histogram import Histogram


def test_a_value_is_counted_where_it_belongs() -> None:
    histogram = Histogram((1, 5, 10))
    for value in (0, 0.5, 1, 1.1, 5, 9.99, 10, 10.01, 1e9):
        histogram.observe(value)
    assert histogram.counts == [3, 2, 2, 2]
    assert histogram.count == 9
    assert histogram.sum == pytest.approx(sum((0, 0.5, 1, 1.1, 5, 9.99, 10, 10.01, 1e9)))


def test_it_begins_empty() -> None:
    histogram = Histogram((0.001,))
    assert (histogram.bounds, histogram.counts, histogram.sum) == ((0.001,), [0, 0], 0)


def test_one_that_was_counted_elsewhere_goes_on_from_there() -> None:
    histogram = Histogram.counted((1, 2), [3, 4, 5], 60)
    histogram.observe(2)
    assert (histogram.counts, histogram.count, histogram.sum) == ([3, 5, 5], 13, 62)


@pytest.mark.parametrize("bounds", [(), (2, 1), (1, 1), (1, 2, 2)])
def test_bounds_ascend(bounds: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="ascending"):
        Histogram(bounds)


@pytest.mark.parametrize("counts", [[], [1, 2], [1, 2, 3, 4]])
def test_counts_fit_the_bounds(counts: list[int]) -> None:
    with pytest.raises(ValueError, match="2 bounds have one count more"):
        Histogram.counted((1, 2), counts, 0)
