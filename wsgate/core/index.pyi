"""The subscription index: channel to connection, pattern to connection."""

class Index:
    """Topics by name, subscribers by slot."""

    @property
    def labels(self) -> list[str | None]:
        """Each topic's name, by id; None where the id is free."""

    @property
    def ids(self) -> dict[str, int]:
        """Each topic's id, by name."""

    @property
    def subscriptions(self) -> int:
        """How many there are, over all connections."""

    def subscribers_of(self, name: str) -> set[int]:
        """The slots subscribed to exactly this channel or pattern."""

    def topics_of(self, slot: int) -> list[str]:
        """The channels and patterns that `slot` is subscribed to."""

    def check(self) -> None:
        """Assert the invariant over everything; O(all subscriptions)."""
