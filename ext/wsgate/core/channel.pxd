# What is known of each channel: its rule, position, latest value, and whether it may be forgotten.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from wsgate.core.counters cimport Counters, counters_t
from wsgate.core.frame cimport frame_t

cdef enum ChannelKind:
    STATE = 0                   # only the latest value matters
    EVENT = 1                   # each publication matters


cdef struct channel_t:
    uint64_t seq                # of the newest publication, 0 before the first
    uint64_t seq_begun          # where counting began when it became known
    uint64_t prev               # of the one before, 0 if none is known
    frame_t* text               # owned; STATE: the latest value encoded, NULL until wanted
    uint32_t uses               # subscribers + outboxes that owe it + spreads to come
    uint32_t older              # neighbours among the unused, while uses == 0
    uint32_t newer
    uint32_t valued_at          # STATE, published: its place in `valued`
    uint16_t name_size
    uint8_t rule
    uint8_t kind
    uint8_t pending             # STATE: published, not yet spread over its subscribers
    uint8_t known               # this id is a channel
    uint8_t published           # anything was, since it is known


cdef class Channels:
    cdef:
        channel_t* table            # owned, by topic id
        uint32_t cap
        uint32_t* valued            # owned: the state channels that have a value, in no order
        uint32_t valued_len
        uint32_t valued_cap
        list heads                  # by id: the constant part of the envelope
        list payloads               # by id: STATE: the latest published JSON
        uint32_t unused_oldest
        uint32_t unused_newest
        readonly uint32_t count
        readonly uint64_t seq_floor  # no channel that was forgotten ever got past this
        Counters counters

    cdef int open(self, uint32_t id, str name, str type, uint8_t rule, ChannelKind kind) except -1
    cdef int forget(self, uint32_t id) except -1
    cdef uint32_t oldest_unused(self) noexcept nogil
    cdef frame_t* publish_event(self, uint32_t id, bytes payload) except NULL
    cdef int publish_state(self, uint32_t id, bytes payload) except -1
    cdef frame_t* latest(self, uint32_t id) except NULL
    cdef void use(self, uint32_t id, uint32_t count) noexcept nogil
    cdef void unuse(self, uint32_t id, uint32_t count) noexcept nogil
    cdef int skip(self, uint32_t id) except -1

    # its own
    cdef void _advance(self, channel_t* channel, uint32_t id) noexcept nogil
    cdef frame_t* _encode(self, channel_t* channel, uint32_t id, bytes payload) except NULL
    cdef int _value(self, uint32_t id) except -1
    cdef void _devalue(self, uint32_t id) noexcept nogil
    cdef void _link(self, uint32_t id) noexcept nogil
    cdef void _unlink(self, uint32_t id) noexcept nogil
