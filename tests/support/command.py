"""The command ``wsgate``, run as a process of its own until it ends."""

from __future__ import annotations

import os
import subprocess
import sys

DEADLINE_S = 30
OURS = ("WS_", "NATS_", "LOG_")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "wsgate", *arguments]


def environment(**settings: str) -> dict[str, str]:
    """This process's, with no settings but these."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return {**inherited, **settings}


def wsgate(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
