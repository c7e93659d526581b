# What is known of each channel: its rule, position, latest value, and whether it may be forgotten.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from wsgate.core.counters cimport Counters, counters_t
from wsgate.core.frame cimport frame_t

cdef enum ChannelKind:
    STATE = 0                   # only the latest value matters
    EVENT = 1                   # each publication matters


cdef struct channel_t:
    uint64_t seq                # of the newest publication; before the first: none lies up to here
    uint64_t prev               # of the one before, 0 if none is known
    uint64_t since              # of this channel nothing lies between here and `seq`
    uint64_t publications       # since it is known
    uint32_t epoch              # whose counting `seq` is
    uint32_t silences           # connections that are ahead of it, see Roster
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
    uint8_t published           # anything was, in this epoch and since it is known


cdef struct epoch_t:
    uint64_t floor              # what lies up to here may have been forgotten
    uint64_t head               # OWN_EPOCH: unused; else the highest position told so far
    uint64_t lost               # OWN_EPOCH: unused; else what lies up to here may never have come


cdef enum:
    OWN_EPOCH = 0               # the gateway counts by itself, each channel for itself


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
        epoch_t* epochs             # owned
        readonly list epoch_names   # the same, by id
        Counters counters

    cdef void lose_up_to(self, uint32_t id, uint64_t seq) noexcept nogil
    cdef uint64_t lost(self, channel_t* channel) noexcept nogil
    cdef int open(
        self, uint32_t id, str name, str type, uint8_t rule, ChannelKind kind, uint32_t epoch
    ) except -1
    cdef int forget(self, uint32_t id) except -1
    cdef uint32_t oldest_unused(self) noexcept nogil
    cdef int move(self, uint32_t id, uint32_t epoch) except -1
    cdef bint advance(self, uint32_t id, uint64_t seq) noexcept nogil
    cdef frame_t* encode(self, uint32_t id, bytes payload) except NULL
    cdef int set_value(self, uint32_t id, bytes payload) except -1
    cdef frame_t* latest(self, uint32_t id) except NULL
    cdef void use(self, uint32_t id, uint32_t count) noexcept nogil
    cdef void unuse(self, uint32_t id, uint32_t count) noexcept nogil

    # its own
    cdef void _begin(self, channel_t* channel, uint32_t epoch) noexcept nogil
    cdef void _leave_epoch(self, channel_t* channel) noexcept nogil
    cdef int _value(self, uint32_t id) except -1
    cdef void _devalue(self, uint32_t id) noexcept nogil
    cdef void _link(self, uint32_t id) noexcept nogil
    cdef void _unlink(self, uint32_t id) noexcept nogil
