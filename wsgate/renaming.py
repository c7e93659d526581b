"""Raw subjects and channels: the same names, but for what they begin with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Renaming:
    """Between ``raw.token.abc.update`` and ``token.abc.update``, and the same for patterns.

    Both prefixes are whole tokens without the last dot; that of channels may be empty.
    """

    raw: str
    channels: str

    def raw_of(self, channel: str) -> str:
        """Where the channel's raw publications are; ValueError if it is none of these channels."""
        return f"{self.raw}.{_without(self.channels, channel)}"

    def channel_of(self, raw: str) -> str:
        """What they are republished as; ValueError if the subject is not raw."""
        rest = _without(self.raw, raw)
        return f"{self.channels}.{rest}" if self.channels else rest


def _without(prefix: str, name: str) -> str:
    if not prefix:
        return name
    if not name.startswith(f"{prefix}."):
        raise ValueError(f"{name!r} does not begin with {prefix + '.'!r}")
    return name[len(prefix) + 1 :]
