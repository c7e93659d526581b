"""Where the value of each setting came from."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

CameFrom = Literal["default", "environment", "file"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Of each name in both, the environment's value is the one that counts."""

    in_environment: Collection[str]
    in_file: Collection[str]
    file: Path | None

    def of(self, name: str) -> CameFrom:
        if name in self.in_environment:
            return "environment"
        return "file" if name in self.in_file else "default"

    def in_words(self, name: str) -> str:
        """To stand after a value."""
        match self.of(name):
            case "environment":
                return "from the environment"
            case "file":
                return f"from {self.file}"
            case "default":
                return "by default"
