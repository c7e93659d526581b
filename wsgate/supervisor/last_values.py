"""The last value of each channel of state that the supervisor has told, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

LAST_VALUES_BYTES_MAX: Final = 32 * 1024 * 1024
# What Python needs to keep one, beside its characters: two strings and their place.
OVERHEAD_BYTES: Final = 300


class LastValues:
    """By channel; past ``bytes_max`` those not renewed for longest are forgotten."""

    def __init__(self, bytes_max: int = LAST_VALUES_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        # The longest not renewed first; a plain dict would look for that at all that were deleted.
        self._texts: OrderedDict[str, str] = OrderedDict()
        self.bytes = 0
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._texts)

    def __iter__(self) -> Iterator[str]:
        """The channels."""
        return iter(self._texts)

    def get(self, channel: str) -> str | None:
        return self._texts.get(channel)

    def put(self, channel: str, text: str) -> None:
        before = self._texts.pop(channel, None)
        if before is not None:
            self.bytes -= _bytes(channel, before)
        self._texts[channel] = text
        self.bytes += _bytes(channel, text)
        while self.bytes > self._bytes_max:
            self.bytes -= _bytes(*self._texts.popitem(last=False))
            self.forgotten += 1


def _bytes(channel: str, text: str) -> int:
    return len(channel) + len(text) + OVERHEAD_BYTES
