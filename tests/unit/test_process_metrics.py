from __future__ import annotations

import os

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector

from wsgate.metrics import process
from wsgate.metrics.process import ProcessMetrics, open_files


def theirs() -> ProcessCollector:
    return ProcessCollector(registry=CollectorRegistry())


def test_they_are_those_that_everybody_has() -> None:
    """Under the same names, with the same texts, and about the same values."""
    ours = {one.name: one for one in ProcessMetrics().collect()}
    others = {one.name: one for one in theirs().collect()}
    assert list(ours) == list(others)
    for name, other in others.items():
        assert (ours[name].type, ours[name].documentation) == (other.type, other.documentation)
        (our_sample,), (other_sample,) = ours[name].samples, other.samples
        assert our_sample.name == other_sample.name
        # Theirs has the listing of open files open, and memory and time go on.
        assert our_sample.value == pytest.approx(other_sample.value, rel=0.05, abs=1)
    assert (
        ours["process_start_time_seconds"].samples == others["process_start_time_seconds"].samples
    )


def test_open_files_are_counted_on_any_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_files()
    extra = [os.dup(0) for _ in range(5)]
    try:
        assert open_files() == before + 5

        class Sizeless(type(process.OPEN_FILES)):  # type: ignore[misc]
            """As it is before Linux 6.2."""

            def stat(self, **options: object) -> os.stat_result:
                return os.stat_result((0,) * 10)

        monkeypatch.setattr(process, "OPEN_FILES", Sizeless("/proc/self/fd"))
        assert open_files() == before + 5 + 1  # that of the listing
    finally:
        for one in extra:
            os.close(one)
