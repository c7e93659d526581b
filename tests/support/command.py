"""The command ``wsgate`` as another process, with these settings and no others."""

from __future__ import annotations

import os
import subprocess
import sys

from wsgate.settings.names import PREFIXES

DEADLINE_S = 30


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "wsgate", *arguments]


def environment(**settings: object) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIXES)}
    return {**inherited, **{name: str(value) for name, value in settings.items()}}


def wsgate(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """What it said and how it ended: for commands that do end."""
    return subprocess.run(
        command(*arguments),
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
