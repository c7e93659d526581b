"""The queue-set behind the state lane: which channels' latest value is owed."""

from collections.abc import Iterator

class IdSet:
    """The set as a Python object, for the tests that drive it against a model."""

    def add(self, id: int) -> bool:
        """Append `id`; False if it was in."""

    def discard(self, id: int) -> bool:
        """Remove `id`; False if it was not in."""

    def discard_all(self, ids: list[int]) -> None:
        """Remove `ids`; those that are not in are skipped."""

    def take(self, count: int) -> list[int]:
        """Remove the first `count` ids (at most all) and return them in order."""

    def __contains__(self, id: int) -> bool: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[int]: ...
