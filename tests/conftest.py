"""What holds for every test: by its end the core has freed whatever it allocated meanwhile."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _nothing_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Makes every test a leak test. First to be set up and last to be torn down."""
    modules_before, before = _modules(), _live_objects()
    yield
    if before is None or _modules() != modules_before:
        return  # modules make objects for good when they are loaded
    if request.session.testsfailed:
        return  # the traceback of a test that failed keeps its objects, for how long nobody knows
    if _live_objects() != before:
        # What only a cycle keeps alive is no leak, frozen by a gateway's start or not.
        gc.unfreeze()
        gc.collect()
    after = _live_objects()
    assert after is not None
    # Less is no leak either: what the test before left to the collector is gone now.
    assert all(after[kind] <= before[kind] for kind in before), f"a leak: {before}, then {after}"


def _live_objects() -> dict[str, int] | None:
    """The core's counts; None if this process has not loaded the core."""
    counters = sys.modules.get("wsgate.core.counters")
    return None if counters is None else counters.live_objects()


def _modules() -> set[str]:
    return {name for name in sys.modules if name.startswith("wsgate.")}
