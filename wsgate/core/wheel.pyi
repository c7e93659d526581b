"""A hashed timing wheel over nodes that the caller numbers."""

class Wheel:
    """Deadlines in milliseconds for numbered nodes."""

    def __init__(self, now_ms: int = 0) -> None: ...
    @property
    def scheduled(self) -> int:
        """How many nodes have a deadline."""

    def schedule(self, node: int, due_ms: int) -> None:
        """Fire `node` once at `due_ms`, or up to 16 ms later; replaces its earlier deadline."""

    def cancel(self, node: int) -> None:
        """Forget the deadline of `node`, if it has one."""

    def expire(self, now_ms: int) -> list[int]:
        """All nodes due by `now_ms`."""
