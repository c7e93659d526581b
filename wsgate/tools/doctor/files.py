"""Reading the small files in which Linux says how it is set."""

from __future__ import annotations

from pathlib import Path
from typing import Final

ROOT: Final = Path("/")


def text(path: Path) -> str | None:
    """None if there is no such file, or it is not for us."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def numbers(path: Path) -> tuple[int, ...]:
    """All in the file; none if there is no such file, or something else is in it."""
    words = (text(path) or "").split()
    return tuple(map(int, words)) if all(word.isdecimal() for word in words) else ()


def number(path: Path) -> int | None:
    """The first in the file."""
    return next(iter(numbers(path)), None)
