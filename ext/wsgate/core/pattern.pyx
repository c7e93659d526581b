"""Subject patterns: ``*`` is one whole token, a last ``>`` is one or more tokens.

Owns: the trie of the patterns that have subscribers.
Invariant: every node but the root leads to at least one pattern; ``size`` is how many there are.
Cost: add and remove O(tokens); match O(2^tokens) at worst, in practice a few branches a token.

Grammar and meaning are those of NATS subjects (docs.nats.io, "Subject-Based Messaging").
"""


cdef class Node:
    def __cinit__(self):
        self.children = None
        self.star = None
        self.here = NO_ID
        self.tail = NO_ID

    cdef bint barren(self):
        return not self.children and self.star is None and self.here == NO_ID and self.tail == NO_ID


cdef int _collect(Node node, list tokens, Py_ssize_t depth, list found) except -1:
    cdef Node child
    if depth == len(tokens):
        if node.here != NO_ID:
            found.append(node.here)
        return 0
    if node.tail != NO_ID:
        found.append(node.tail)
    if node.star is not None:
        _collect(node.star, tokens, depth + 1, found)
    if node.children is not None:
        child = node.children.get(tokens[depth])
        if child is not None:
            _collect(child, tokens, depth + 1, found)
    return 0


cdef class PatternTrie:
    """Patterns with ids; ``match(name)`` gives the ids of all that match."""

    def __cinit__(self):
        self.root = Node()
        self.size = 0

    cdef int add(self, str pattern, uint32_t id) except -1:
        cdef Node node = self.root
        cdef Node child
        cdef list tokens = pattern.split(".")
        cdef str token
        for token in tokens:
            if token == ">":
                node.tail = id
                self.size += 1
                return 0
            if token == "*":
                if node.star is None:
                    node.star = Node()
                node = node.star
                continue
            if node.children is None:
                node.children = {}
            child = node.children.get(token)
            if child is None:
                child = Node()
                node.children[token] = child
            node = child
        node.here = id
        self.size += 1
        return 0

    cdef int remove(self, str pattern) except -1:
        cdef list path = []
        cdef Node node = self.root
        cdef Node child
        cdef str token
        for token in pattern.split("."):
            if token == ">":
                path.append((node, token))
                break
            path.append((node, token))
            node = node.star if token == "*" else node.children[token]
        if token == ">":
            node.tail = NO_ID
        else:
            node.here = NO_ID
        self.size -= 1
        for node, token in reversed(path):
            if token == ">":
                continue
            child = node.star if token == "*" else node.children[token]
            if not child.barren():
                break
            if token == "*":
                node.star = None
            else:
                del node.children[token]
        return 0

    cdef list match(self, str name):
        cdef list found = []
        if self.size:
            _collect(self.root, name.split("."), 0, found)
        return found


cdef bint pattern_matches(
    const char* pattern, size_t pattern_size, const char* name, size_t name_size
) noexcept nogil:
    cdef size_t p = 0
    cdef size_t n = 0
    while p < pattern_size:
        if pattern[p] == b">":
            return n < name_size
        if pattern[p] == b"*":
            if n >= name_size:
                return False
            while n < name_size and name[n] != b".":
                n += 1
            p += 1
        else:
            while p < pattern_size and pattern[p] != b".":
                if n >= name_size or name[n] != pattern[p]:
                    return False
                p += 1
                n += 1
        # both at the end of a token now, or they differ
        if p == pattern_size:
            return n == name_size
        if n >= name_size or name[n] != b".":
            return False
        p += 1
        n += 1
    return False


def matches(pattern: str, name: str) -> bool:
    """Whether `pattern` (or a plain name) matches `name`; both ASCII."""
    cdef bytes pattern_bytes = pattern.encode("ascii")
    cdef bytes name_bytes = name.encode("ascii")
    return pattern_matches(pattern_bytes, len(pattern_bytes), name_bytes, len(name_bytes))
