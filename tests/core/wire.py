"""The network as the core sees it: sockets, and transports that finish cut frames."""

from __future__ import annotations

from typing import Literal

from wsgate.core.sink import PythonSink

BROKEN = -1

Carry = Literal["holds", "passes", "breaks"]


class Wire(PythonSink):
    """Keeps what each slot is sent. A socket takes all, until it is told to take only so much.

    Fails a test that breaks the sink's contract: nothing is sent while a rest is held.
    """

    def __init__(self) -> None:
        self.streams: dict[int, bytearray] = {}
        self.held: dict[int, bytes] = {}
        self.sends: list[tuple[int, bytes]] = []  # what was offered, call by call
        self.carried: list[tuple[int, bytes]] = []
        self._room: dict[int, int] = {}
        self._carry: dict[int, Carry] = {}
        self._broken: set[int] = set()

    # what the test sets up

    def accept(self, slot: int, size: int, carry: Carry = "holds") -> None:
        """Let the socket take `size` more bytes; then the transport holds, passes on, or breaks."""
        self._room[slot] = size
        self._carry[slot] = carry

    def cut_off(self, slot: int) -> None:
        """The next write to the socket fails."""
        self._broken.add(slot)

    def drain(self, slot: int) -> None:
        """The peer reads: the socket takes everything again, first what the transport holds."""
        self._room.pop(slot, None)
        self.stream(slot).extend(self.held.pop(slot, b""))

    def renew(self, slot: int) -> None:
        """The slot is another connection's now."""
        self._broken.discard(slot)
        self._room.pop(slot, None)
        self.held.pop(slot, None)
        self.streams[slot] = bytearray()

    def stream(self, slot: int) -> bytearray:
        """Everything that went out to the slot."""
        return self.streams.setdefault(slot, bytearray())

    # what the core calls

    def on_send(self, slot: int, parts: list[bytes]) -> int:
        assert slot not in self.held, "sent although the transport holds a rest"
        offered = b"".join(parts)
        assert offered, "an empty write"
        self.sends.append((slot, offered))
        if slot in self._broken:
            return BROKEN
        accepted = min(len(offered), self._room.get(slot, len(offered)))
        if slot in self._room:
            self._room[slot] -= accepted
        self.stream(slot).extend(offered[:accepted])
        return accepted

    def on_carry(self, slot: int, rest: bytes) -> int:
        assert rest, "nothing was cut"
        self.carried.append((slot, rest))
        carry = self._carry[slot]
        if carry == "breaks":
            return BROKEN
        if carry == "passes":
            del self._room[slot]
            self.stream(slot).extend(rest)
            return 0
        self.held[slot] = rest
        return 1
