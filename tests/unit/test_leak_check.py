"""The check of conftest.py itself: a leak is an error, what looks like one is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import wsgate

# Wherever this test has it from, an installed one or the sources.
WSGATE = Path(wsgate.__file__).parents[1]
TESTS = Path(__file__).parents[1]
MODULE = """
import gc
from wsgate.core.frame import Frame

kept = []

def test_that_leaks():
    kept.append(Frame.ping())

def test_that_frees_too_much():
    kept.clear()

def test_that_frees():
    Frame.ping()

def test_that_leaves_a_frozen_cycle():
    cycle = [Frame.ping()]
    cycle.append(cycle)
    gc.freeze()

def test_that_fails():
    assert not Frame.ping()
"""


@pytest.mark.parametrize(
    ("tests", "result"),
    [
        (["leaks"], "1 passed, 1 error"),
        (["leaks", "frees_too_much"], "2 passed, 1 error"),
        (["frees"], "1 passed"),
        (["leaves_a_frozen_cycle"], "1 passed"),
        (["fails"], "1 failed"),
        (["fails", "leaks"], "1 failed, 1 passed"),
    ],
)
def test_leaks_are_errors(tmp_path: Path, tests: list[str], result: str) -> None:
    (tmp_path / "conftest.py").write_bytes((TESTS / "conftest.py").read_bytes())
    (tmp_path / "test_module.py").write_text(MODULE)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *(f"test_module.py::test_that_{t}" for t in tests)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(WSGATE)},
        capture_output=True,
        text=True,
    )
    assert run.stdout.splitlines()[-1].partition(" in ")[0] == result
