"""Gathering: clients that come fast are accepted a few at a time."""

import asyncio
from collections.abc import Sequence

PAUSE_S: float
GROUP_LEAST: int
VAIN_MAX: int
REST_S: float

class Gathering:
    """For descriptors of one listening socket, in a loop that polls with `poll_descriptor`.

    OSError if there is no such descriptor.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, poll_descriptor: int, listening: Sequence[int]
    ) -> None: ...
    @property
    def pauses(self) -> int:
        """How many there were."""

    def accepted(self) -> None:
        """One client more; to be called for each."""

    def stop(self) -> None:
        """Pause no more. The descriptors are left as they are: they are about to be closed."""
