"""Slots: small dense numbers for connections, so that what is hot lies in arrays."""

class Slots:
    """Which slots are taken, and each slot's generation."""

    @property
    def limit(self) -> int:
        """All slots ever given are below."""

    @property
    def count(self) -> int:
        """How many are taken now."""
