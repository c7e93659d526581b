"""Frames out: straight to the socket, and what the socket cuts to the transport."""

from wsgate.core.sink import Sink

ENCRYPTED_WRITE_BYTES: int

class SocketSink(Sink):
    """Where every slot's bytes go."""

    def watch(self, fd: int) -> None:
        """`fd` is readable whenever the event loop has something to do: a poll descriptor is."""

    def attach(self, slot: int, fd: int, transport: object) -> int:
        """From now on `slot` is this socket; `transport` owns it."""

    def detach(self, slot: int) -> int:
        """Nothing goes to the socket any more."""
