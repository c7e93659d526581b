"""The subscription index: channel to connection, pattern to connection."""

class Index:
    """Topics by name, subscribers by slot."""

    @property
    def labels(self) -> list[str | None]: ...
    @property
    def ids(self) -> dict[str, int]: ...
    @property
    def subscriptions(self) -> int: ...
    def subscribers_of(self, name: str) -> set[int]:
        """The slots subscribed to exactly this channel or pattern."""

    def topics_of(self, slot: int) -> list[str]:
        """The channels and patterns that `slot` is subscribed to."""

    def check(self) -> None:
        """Assert the invariant over everything; O(all subscriptions)."""
