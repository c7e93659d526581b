"""Other processes, as /proc has them; only the standard library is needed."""

from __future__ import annotations

from pathlib import Path


def children(pid: int) -> list[int]:
    """Of its first thread, in the order in which they began; none if it is gone."""
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def state(pid: int) -> str:
    """As ps says it: Z is dead and not reaped. Empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def exists(pid: int) -> bool:
    """Whether it runs, or is dead and not reaped."""
    return state(pid) != ""
