"""Over how long clients are sent away: as long as others need, or as there is time for."""

from __future__ import annotations

import pytest

from wsgate.supervisor.supervisor import Drain


@pytest.mark.parametrize(
    ("delay_s", "deadline_s", "connections", "spread_s"),
    [
        (10, 60, 10_000, 10),  # as the others can accept them
        (10, 60, 1_000_000, 41),  # what is left but for 9 s
        (50, 60, 1_000_000, 5),  # half of what is left
        (0, 9, 1_000_000, 4.5),
        (1, 6, 1_000_000, 2),  # but for 3 s
        (0, 3, 1_000_000, 0),
        (0, 1, 1_000_000, 0),
        (10, 60, 0, 0),
    ],
)
def test_spread(delay_s: float, deadline_s: float, connections: int, spread_s: float) -> None:
    drain = Drain(delay_s=delay_s, deadline_s=deadline_s, reconnects_per_s=1000)
    assert drain.spread_s(connections) == spread_s


def test_nobody_waits_for_a_load_balancer_while_workers_are_replaced() -> None:
    drain = Drain(delay_s=50, deadline_s=60, reconnects_per_s=1000)
    assert drain.spread_s(1_000_000, delay_s=0) == 51
