# Which patterns match a name: a trie over the tokens of NATS subjects.

from libc.stdint cimport uint32_t

cdef enum:
    NO_ID = 0xFFFFFFFF


cdef class Node:
    cdef dict children          # literal token -> Node
    cdef Node star              # the '*' branch
    cdef uint32_t here          # id of the pattern that ends here, or NO_ID
    cdef uint32_t tail          # id of the pattern that ends here with '>', or NO_ID

    cdef bint barren(self)


cdef class PatternTrie:
    cdef Node root
    cdef readonly uint32_t size

    cdef int add(self, str pattern, uint32_t id) except -1
    cdef int remove(self, str pattern) except -1
    cdef list match(self, str name)


# Whether `pattern` matches `name`, both as bytes; for the rare single question.
cdef bint pattern_matches(
    const char* pattern, size_t pattern_size, const char* name, size_t name_size
) noexcept nogil
