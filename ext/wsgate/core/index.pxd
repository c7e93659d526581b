# Who is subscribed to what: topics (channels and patterns) on one side, slots on the other.

from libc.stdint cimport uint8_t, uint32_t

from wsgate.core.pattern cimport NO_ID, PatternTrie

cdef enum:
    PACED = 0x80000000          # in topic_t.slots: this subscriber has a max_rate
    SLOT_MASK = 0x7FFFFFFF


cdef struct topic_t:
    uint32_t* slots             # owned; its subscribers, dense, in no order; high bit: PACED
    uint32_t* backs             # owned; beside each: where it stands in the slot's own list
    uint32_t len
    uint32_t cap
    uint32_t paced              # how many of them are PACED
    uint32_t* patterns          # owned; a channel's matching patterns, as of patterns_version
    uint32_t patterns_len
    uint32_t patterns_cap
    uint32_t patterns_version
    uint8_t used
    uint8_t is_pattern


cdef struct subscription_t:
    uint32_t topic
    uint32_t position           # in topic_t.slots
    uint32_t group              # pace group of the connection, 0 = none


cdef struct subscriber_t:
    subscription_t* list        # owned
    uint32_t len
    uint32_t cap


cdef class Index:
    cdef:
        topic_t* topics             # owned, by id
        uint32_t topics_len         # ids handed out so far
        uint32_t topics_cap
        list free_ids
        readonly list labels        # id -> name, None when free
        readonly dict ids           # name -> id
        PatternTrie trie
        uint32_t patterns_version   # goes up with every pattern that comes or goes
        subscriber_t* subscribers   # owned, by slot
        uint32_t slots
        readonly uint32_t subscriptions

    cdef bint holds_any(self, uint32_t slot) noexcept nogil
    cdef int reserve_slots(self, uint32_t slots) except -1
    cdef uint32_t open_topic(self, str name, bint is_pattern) except? 0xFFFFFFFF
    cdef int drop_topic(self, uint32_t id) except -1
    cdef int subscribe(self, uint32_t slot, uint32_t id, uint32_t group) except -1      # 1: new
    cdef bint unsubscribe(self, uint32_t slot, uint32_t id) except -1                   # it was
    cdef uint32_t* matching(self, uint32_t channel, uint32_t* count) except? NULL
    cdef subscription_t* find(self, uint32_t slot, uint32_t id) noexcept nogil
    cdef bint covers(self, uint32_t slot, uint32_t channel) except -1
    cdef bint covers_name(self, uint32_t slot, const char* name, size_t size) except -1
    cdef subscription_t* entry_of(self, topic_t* topic, uint32_t position) noexcept nogil

    # its own
    cdef int _shrink(self, topic_t* topic, subscriber_t* subscriber) except -1
