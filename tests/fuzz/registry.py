"""The targets: each module in ``targets/`` is one, and nothing else has to know of it.

A target has a docstring, of which the first line is shown, ``fuzz(data)``, which returns whatever
the bytes are and raises for a bug alone, and perhaps ``WORDS``, which are likely to matter in an
input. Its seeds, and inputs that once were bugs, are the files in ``corpus/<name>/``.
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Target:
    name: str
    idea: str
    fuzz: Callable[[bytes], object]
    words: tuple[bytes, ...]

    @property
    def corpus(self) -> Path:
        return corpus(self.name)

    def check(self, data: bytes) -> None:
        """Fuzz with one input, and see that the core has freed all that it made for it."""
        before = _held_by_core()
        self.fuzz(data)
        if _held_by_core() != before:
            gc.collect()  # what only a cycle keeps alive is no leak
            after = _held_by_core()
            assert after == before, f"a leak: the core held {before} before, and {after} after"


def names() -> list[str]:
    return sorted(path.stem for path in (HERE / "targets").glob("*.py"))


def corpus(name: str) -> Path:
    return HERE / "corpus" / name


def load(name: str) -> Target:
    module = importlib.import_module(f"tests.fuzz.targets.{name}")
    assert module.__doc__, name
    return Target(
        name, module.__doc__.splitlines()[0], module.fuzz, tuple(getattr(module, "WORDS", ()))
    )


def _held_by_core() -> dict[str, int] | None:
    counters = sys.modules.get("wsgate.core.counters")
    return None if counters is None else counters.live_objects()
