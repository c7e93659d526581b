"""What the supervisor hands a worker on its standard input, pickled."""

from __future__ import annotations

from dataclasses import dataclass

from wsgate.blueprint import Blueprint


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """``number`` names the worker; ``line`` of ``lines`` is its own on the board, and its table."""

    number: int
    line: int
    lines: int
    channel: int  # descriptors
    listening: int
    board: int
    addresses: int | None  # None: there is no limit by address
    live_sources: tuple[str, ...]  # of the supervisor's, as it begins; then it is told
    blueprint: Blueprint
