"""Slots: small dense numbers for connections, so that what is hot lies in arrays."""

class Slots:
    """Which slots are taken, and each slot's generation."""

    @property
    def limit(self) -> int: ...
    @property
    def count(self) -> int: ...
