"""The fixture `meter`, the short run, and the table at the end."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import pytest

from benchmarks.micro.meter import Figure, Meter, growth, table

FIGURES = pytest.StashKey[list[Figure]]()
SHORT_SIZE_MAX = 1_000


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--short",
        action="store_true",
        help="few rounds of the small shapes only: shows that the benchmarks work",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not _is_short(config):
        return
    large = [item for item in items if _size(item) > SHORT_SIZE_MAX]
    config.hook.pytest_deselected(items=large)
    items[:] = [item for item in items if _size(item) <= SHORT_SIZE_MAX]


@pytest.fixture
def meter(benchmark: Any, request: pytest.FixtureRequest) -> Meter:
    """Times the test's work and notes its figures."""
    config = request.config
    mark = request.node.get_closest_marker("benchmark")
    timer = perf_counter if mark is None else mark.kwargs.get("timer", perf_counter)
    return Meter(benchmark, config.stash[FIGURES], timer=timer, short=_is_short(config))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    figures = config.stash[FIGURES]
    if not figures:
        return
    terminalreporter.section("what it costs (the fastest round)")
    for line in table(figures):
        terminalreporter.write_line(line)
    terminalreporter.section("growth")
    for line in growth(figures):
        terminalreporter.write_line(line)
    if _is_short(config):
        terminalreporter.write_line("A short run shows that it works; figures need the long one.")


def _is_short(config: pytest.Config) -> bool:
    return bool(config.getoption("short", default=False))


def _size(item: pytest.Item) -> int:
    callspec = getattr(item, "callspec", None)
    return 0 if callspec is None else int(callspec.params.get("size", 0))
