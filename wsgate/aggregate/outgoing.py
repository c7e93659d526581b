"""What leaves: commands for the NATS server, gathered into few writes."""

from __future__ import annotations

from typing import Final, Protocol

WRITE_COMMANDS_MAX: Final = 32  # of the longest it is 8 MB
UNWRITTEN_BYTES_MAX: Final = 256 * 1024  # past it the server is slow, and gets no more for a while


class Outlet(Protocol):
    """What takes commands; ``wsgate.sources.nats.NatsSource`` does."""

    @property
    def connected(self) -> bool: ...

    @property
    def unwritten_bytes(self) -> int: ...

    def write(self, commands: bytes) -> None: ...


class Outgoing:
    """``batch`` leaves with the next write. It is older than whatever is held elsewhere.

    For while this is ``open`` nothing is held that could leave, and while it is not nobody adds
    to the batch: whoever opens it releases all there is before anything else comes.
    """

    __slots__ = ("batch", "open", "outlet", "writes", "written_bytes")

    def __init__(self, outlet: Outlet) -> None:
        self.outlet = outlet
        self.batch: list[bytes] = []
        self.open = False
        self.writes = 0
        self.written_bytes = 0

    def leave(self) -> bool:
        """Write the batch, only while it is open; whether it still is."""
        assert self.open, "nothing is there to take it"
        if self.batch:
            commands = b"".join(self.batch)
            self.batch.clear()
            self.writes += 1
            self.written_bytes += len(commands)
            self.outlet.write(commands)
        return self.look()

    def look(self) -> bool:
        """Open if the outlet takes more by now, else not."""
        self.open = self.outlet.connected and self.outlet.unwritten_bytes <= UNWRITTEN_BYTES_MAX
        return self.open

    def close(self) -> None:
        """The connection is lost."""
        self.open = False
