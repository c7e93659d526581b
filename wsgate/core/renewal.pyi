"""When to renew a channel's keyframe: rent or buy, in bytes that were measured."""

class Renewal:
    """The policy of one channel."""

    def due(self, size: int) -> bool:
        """A delta took `size` bytes; whether its payload had better be the next keyframe."""

    def done(self, catch_up_bytes: int, in_step: int) -> None:
        """There is a new keyframe; of the old: what catching up took, and who needed not to."""

    @property
    def price(self) -> int:
        """Bytes that a renewal is thought to cost for each who keeps step."""
