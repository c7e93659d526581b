"""Subject patterns: ``*`` is one whole token, a last ``>`` is one or more tokens."""

class Node:
    """One token's place in the trie."""

class PatternTrie:
    """Patterns with ids."""

    @property
    def size(self) -> int:
        """How many patterns there are."""

def matches(pattern: str, name: str) -> bool:
    """Whether `pattern` (or a plain name) matches `name`; both ASCII."""
