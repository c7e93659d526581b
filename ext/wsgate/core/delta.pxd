# The binary messages of wsgate.delta.v1 for a publication, made once for all who speak it.

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t

from wsgate.core.counters cimport Counters
from wsgate.core.frame cimport frame_t, keyframe_t
from wsgate.core.holdings cimport holdings_t
from wsgate.core.renewal cimport renewal_t


# A publication as it is read from its text frame.
cdef struct publication_t:
    uint64_t seq
    uint64_t back               # how far it is to prev; 0: none is known
    const char* payload         # the frame's
    size_t size


# What one connection is sent for a publication; all borrowed, as long-lived as its text frame.
cdef struct passage_t:
    frame_t* first              # the keyframe that has to go before; NULL: none has
    frame_t* frame              # the publication
    keyframe_t* brings          # held once `first` has left, or without it `frame`; NULL: no new one


# A frame that brings `keyframe` has left to a connection: it holds that one from now on. There is
# room for it.
cdef void keyframe_left(
    const frame_t* frame, keyframe_t* keyframe, holdings_t* holdings, Counters counters
) noexcept


# A channel that somebody was sent binary messages of.
cdef class Coder:
    cdef:
        keyframe_t* keyframe    # owned; the newest
        uint64_t seq            # of the newest that was encoded
        uint32_t behind         # encoded after it, in a row, though they are older
        renewal_t renewal
        bint used               # since the eviction's hand last passed


cdef class DeltaEncoder:
    cdef:
        Counters counters
        object squeeze              # (payload, dictionary) -> raw deflate with its final block
        list labels                 # by rule: kind and type as a KEYFRAME has them
        dict coders                 # by the channel's name
        uint32_t channels_max
        uint64_t numbers            # channels numbered so far

    # The message for `plain` for whoever holds the keyframe it needs; `plain` itself if that is no
    # publication. Borrowed, as long-lived as `plain`.
    cdef frame_t* twin_of(self, frame_t* plain) except NULL
    # What a connection that holds the keyframe `held` of the channel (0: none) is sent for it.
    cdef int pass_on(self, frame_t* plain, uint64_t held, passage_t* passage) except -1

    # its own
    cdef frame_t* _encode(self, frame_t* plain) except NULL
    cdef void _note_position(self, Coder coder, uint64_t seq) noexcept
    cdef Coder _coder(self, bytes name)
    cdef int _evict(self) except -1
    cdef frame_t* _deflated(self, Coder coder, frame_t* plain, const publication_t* it) except NULL
    cdef frame_t* _renew(
        self, Coder coder, frame_t* plain, const publication_t* it, bytes squeezed) except NULL
    cdef keyframe_t* _keyframe(self, Coder coder, const publication_t* it) except NULL
    cdef int _bring(self, keyframe_t* keyframe, const frame_t* plain) except -1
