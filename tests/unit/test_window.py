"""The window that adapts, against made-up workers."""

from __future__ import annotations

import pytest

from wsgate.window import LEAST_S, LOOK_INTERVAL_S, WIDEST_S, AdaptiveWindow


def after(window: AdaptiveWindow, share: float, looks: int, began_s: float = 0.0) -> float:
    """So many looks later, of a worker that is always as busy as that; when that is."""
    now_s, cpu_s = began_s, window._cpu_s
    for _ in range(looks):
        now_s += LOOK_INTERVAL_S
        cpu_s += share * LOOK_INTERVAL_S
        window.look(now_s, cpu_s)
    return now_s


@pytest.mark.parametrize("share", [0.0, 0.2, 0.44])
def test_a_quiet_worker_has_none(share: float) -> None:
    window = AdaptiveWindow(0.0, 0.0)
    after(window, share, 100)
    assert window.window_s == 0.0


def test_a_busy_one_widens_it_up_to_the_bound_and_back_to_none() -> None:
    window = AdaptiveWindow(0.0, 0.0)
    now_s = after(window, 0.99, 1)
    assert window.window_s == LEAST_S
    now_s = after(window, 0.99, 20, now_s)
    assert window.window_s == WIDEST_S
    now_s = after(window, 0.6, 20, now_s)
    assert window.window_s == WIDEST_S, "what it saves is why the worker is quieter"
    after(window, 0.1, 40, now_s)
    assert window.window_s == 0.0


def test_it_settles_where_the_worker_is_neither_busy_nor_quiet() -> None:
    """A worker whose writes cost half with a window twice as wide, above 10 ms."""
    window = AdaptiveWindow(0.0, 0.0)
    now_s, cpu_s, widths = 0.0, 0.0, []
    for _ in range(200):
        share = min(1.0, 0.1 + 1.2 * 0.01 / max(0.01, window.window_s))
        now_s += LOOK_INTERVAL_S
        cpu_s += share * LOOK_INTERVAL_S
        window.look(now_s, cpu_s)
        widths.append(window.window_s)
    assert len(set(widths[50:])) == 1
    assert 0.01 < widths[-1] < WIDEST_S


def test_it_does_not_look_more_often_than_makes_sense() -> None:
    window = AdaptiveWindow(0.0, 0.0)
    for step in range(1, 10):
        window.look(step * LOOK_INTERVAL_S / 10, step)
    assert window.window_s == 0.0
