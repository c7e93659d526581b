"""What of a folder is sent to be built from: all that ``.dockerignore`` does not leave out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path


class Ignored:
    """Patterns as Docker takes them: from the root, and of all that fit the last one decides.

    A pattern that fits a folder fits all in it.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._rules: list[tuple[re.Pattern[str], bool]] = []
        for line in lines:
            text = line.strip()
            if text and not text.startswith("#"):
                kept = text.startswith("!")
                self._rules.append((_expression(text.removeprefix("!").strip("/")), not kept))

    def leaves_out(self, path: str) -> bool:
        """A path from the root, with ``/``."""
        ignored = False
        for expression, ignores in self._rules:
            if ignores != ignored and expression.fullmatch(path):
                ignored = ignores
        return ignored


def _expression(pattern: str) -> re.Pattern[str]:
    parts = []
    for piece in re.findall(r"\*\*/?|\*|\?|\[[^]]+\]|.", pattern):
        if piece.startswith("**"):
            parts.append("(?:.*/)?" if piece.endswith("/") else ".*")
        elif piece == "*":
            parts.append("[^/]*")
        elif piece == "?":
            parts.append("[^/]")
        elif piece.startswith("[") and len(piece) > 1:
            parts.append(piece)
        else:
            parts.append(re.escape(piece))
    return re.compile("".join(parts) + "(?:/.*)?", re.DOTALL)


def files(folder: Path) -> Iterator[Path]:
    """The files of the context, as paths from the folder, in order."""
    ignored = Ignored((folder / ".dockerignore").read_text().splitlines())
    for place, directories, names in os.walk(folder):
        directories.sort()
        for name in sorted(names):
            path = (Path(place) / name).relative_to(folder)
            if not ignored.leaves_out(path.as_posix()):
                yield path
