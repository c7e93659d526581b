"""The binary messages of wsgate.delta.v1 for a publication, made once for all who speak it."""

from collections.abc import Callable, Sequence

from wsgate.core.counters import Counters
from wsgate.core.frame import Frame
from wsgate.core.holdings import Holdings

class Coder:
    """What is remembered of one channel."""

class DeltaEncoder:
    """`squeeze`: (payload, dictionary) -> raw deflate, to its final block."""

    def __init__(
        self,
        counters: Counters,
        squeeze: Callable[[bytes, bytes], bytes] | None,
        rules: Sequence[tuple[str, str]],
        channels_max: int,
    ) -> None: ...
    def messages(self, holdings: Holdings, publication: Frame) -> list[bytes]:
        """The frames for a connection that holds so much; it holds what they bring after that."""

    def __len__(self) -> int:
        """Of how many channels something is remembered."""
