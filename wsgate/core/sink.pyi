"""The abstract sink: the core's only way out."""

class Sink:
    """Where bytes go; subclasses are compiled, but for ``PythonSink``."""

class NullSink(Sink):
    """Accepts everything and keeps nothing: measures the core alone."""

    @property
    def bytes(self) -> int:
        """How many it has accepted."""

class PythonSink(Sink):
    """A sink written in Python: override ``on_send`` and ``on_carry``."""

    def on_send(self, slot: int, parts: list[bytes]) -> int:
        """Bytes accepted of the concatenated `parts`, 0 when it would block, -1 when broken."""

    def on_carry(self, slot: int, rest: bytes) -> int:
        """1 while `rest` is held, 0 if it went out, -1 when broken."""

    def on_awaited(self) -> bool:
        """Whether a long flush is to make way for something else."""
