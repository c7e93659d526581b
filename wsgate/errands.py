"""Errands: work that is done for a connection in the background, and ends when that does."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

_C = TypeVar("_C")


class Errands(Generic[_C]):
    """One task at most for each connection; ``name`` is for all of them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: dict[_C, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._tasks)

    def begin(self, connection: _C, work: Coroutine[Any, Any, None]) -> None:
        """The work itself says when it is ``done``."""
        task = asyncio.get_running_loop().create_task(work, name=self._name)
        self._tasks[connection] = task

    def done(self, connection: _C) -> None:
        """What is left of the work needs no owner: another may begin."""
        self._tasks.pop(connection, None)

    def left(self, connection: _C) -> None:
        """The connection is gone, and nobody waits any more; the work may not even have begun."""
        task = self._tasks.pop(connection, None)
        if task is not None:
            task.cancel()

    async def stop(self) -> None:
        """Leave no task behind."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
