"""permessage-deflate (RFC 7692), once for each publication: the frame's compressed twin."""

from collections.abc import Callable

from wsgate.core.counters import Counters

class Deflater:
    """`compress`: (payload) -> raw deflate that a sync flush ends, without the tail 00 00 ff ff."""

    def __init__(
        self, counters: Counters, compress: Callable[[bytes], bytes] | None, bytes_min: int
    ) -> None: ...
