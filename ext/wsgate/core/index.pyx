"""The subscription index: channel ↔ connection, pattern ↔ connection.

Owns: a dense id for every topic in use (a channel or a pattern), each topic's subscribers, each
connection's subscriptions. Knows nothing of values, frames or sockets.

    topic 7   slots [ 3 | 9 | 4 ]         slot 9   list [ (topic 2, at 0) | (topic 7, at 1) ]
              backs [ 0 | 1 | 2 ]  ─────────────────────────────────────────────┘

Invariant: ``subscribers[slots[i]].list[backs[i]] == (this topic, i)`` for every subscriber, and back.
Cost: subscribe O(own subscriptions) to see that it is new, then O(1); unsubscribe likewise, and O(1)
from either end by the back-positions; fan-out reads one contiguous array. A pattern is never
expanded: a channel remembers which patterns match it, until a pattern comes or goes.
"""

from libc.string cimport memset

from wsgate.core.memory cimport free_block, grown, resize_block


cdef class Index:
    """Topics by name, subscribers by slot."""

    def __cinit__(self):
        self.free_ids = []
        self.labels = []
        self.ids = {}
        self.trie = PatternTrie()
        self.patterns_version = 1

    def __dealloc__(self):
        cdef uint32_t at
        for at in range(self.topics_len):
            free_block(self.topics[at].slots)
            free_block(self.topics[at].backs)
            free_block(self.topics[at].patterns)
        for at in range(self.slots):
            free_block(self.subscribers[at].list)
        free_block(self.topics)
        free_block(self.subscribers)

    cdef int reserve_slots(self, uint32_t slots) except -1:
        """Make room for slots below `slots`."""
        if slots <= self.slots:
            return 0
        self.subscribers = <subscriber_t*>resize_block(
            self.subscribers, slots * sizeof(subscriber_t))
        memset(self.subscribers + self.slots, 0, (slots - self.slots) * sizeof(subscriber_t))
        self.slots = slots
        return 0

    # topics

    cdef uint32_t open_topic(self, str name, bint is_pattern) except? 0xFFFFFFFF:
        """The id of `name`; a new topic without subscribers if there was none."""
        cdef object known = self.ids.get(name)
        cdef uint32_t id
        if known is not None:
            if self.topics[<uint32_t>known].is_pattern != is_pattern:
                raise ValueError(f"{name!r} cannot be both a channel and a pattern")
            return known
        if self.free_ids:
            id = self.free_ids.pop()
            self.labels[id] = name
        else:
            id = self.topics_len
            if id == self.topics_cap:
                self.topics_cap = grown(self.topics_cap, id + 1, 64)
                self.topics = <topic_t*>resize_block(
                    self.topics, self.topics_cap * sizeof(topic_t))
            self.topics_len += 1
            self.labels.append(name)
        memset(&self.topics[id], 0, sizeof(topic_t))
        self.topics[id].used = 1
        self.topics[id].is_pattern = is_pattern
        self.ids[name] = id
        if is_pattern:
            self.trie.add(name, id)
            self.patterns_version += 1
        return id

    cdef int drop_topic(self, uint32_t id) except -1:
        """Forget a topic that nobody is subscribed to; its id may be given to another."""
        cdef topic_t* topic = &self.topics[id]
        cdef str name = self.labels[id]
        assert topic.used and topic.len == 0, f"topic {name!r} dropped with subscribers"
        free_block(topic.slots)
        free_block(topic.backs)
        free_block(topic.patterns)
        if topic.is_pattern:
            self.trie.remove(name)
            self.patterns_version += 1
        memset(topic, 0, sizeof(topic_t))
        del self.ids[name]
        self.labels[id] = None
        self.free_ids.append(id)
        return 0

    cdef uint32_t* matching(self, uint32_t channel, uint32_t* count) except? NULL:
        """The patterns that match `channel` (`count` of them), found anew only if patterns changed."""
        cdef topic_t* topic = &self.topics[channel]
        cdef list found
        cdef uint32_t at
        if topic.patterns_version != self.patterns_version:
            found = self.trie.match(self.labels[channel])
            if len(found) > topic.patterns_cap:
                topic.patterns_cap = grown(topic.patterns_cap, len(found), 2)
                topic.patterns = <uint32_t*>resize_block(
                    topic.patterns, topic.patterns_cap * sizeof(uint32_t))
            for at in range(len(found)):
                topic.patterns[at] = found[at]
            topic.patterns_len = len(found)
            topic.patterns_version = self.patterns_version
        count[0] = topic.patterns_len
        return topic.patterns

    # subscriptions

    cdef bint holds_any(self, uint32_t slot) noexcept nogil:
        """Whether the connection is subscribed to anything."""
        return slot < self.slots and self.subscribers[slot].len > 0

    cdef subscription_t* find(self, uint32_t slot, uint32_t id) noexcept nogil:
        """The subscription of `slot` to topic `id`, or NULL; valid until the next change."""
        cdef subscriber_t* subscriber = &self.subscribers[slot]
        cdef uint32_t at
        for at in range(subscriber.len):
            if subscriber.list[at].topic == id:
                return &subscriber.list[at]
        return NULL

    cdef subscription_t* entry_of(self, topic_t* topic, uint32_t position) noexcept nogil:
        """The subscription behind a topic's subscriber at `position`."""
        return &self.subscribers[topic.slots[position] & SLOT_MASK].list[topic.backs[position]]

    cdef int subscribe(self, uint32_t slot, uint32_t id, uint32_t group) except -1:
        """Subscribe `slot`; 1 if it is new, 0 if it was subscribed (its pace group is replaced)."""
        cdef subscription_t* entry = self.find(slot, id)
        cdef topic_t* topic = &self.topics[id]
        cdef subscriber_t* subscriber = &self.subscribers[slot]
        cdef uint32_t cap
        cdef int new = entry == NULL
        if new:
            if topic.len == topic.cap:
                cap = grown(topic.cap, topic.len + 1, 4)
                topic.slots = <uint32_t*>resize_block(topic.slots, cap * sizeof(uint32_t))
                topic.backs = <uint32_t*>resize_block(topic.backs, cap * sizeof(uint32_t))
                topic.cap = cap
            if subscriber.len == subscriber.cap:
                cap = grown(subscriber.cap, subscriber.len + 1, 4)
                subscriber.list = <subscription_t*>resize_block(
                    subscriber.list, cap * sizeof(subscription_t))
                subscriber.cap = cap
            entry = &subscriber.list[subscriber.len]
            entry.topic = id
            entry.position = topic.len
            entry.group = 0
            topic.slots[topic.len] = slot
            topic.backs[topic.len] = subscriber.len
            topic.len += 1
            subscriber.len += 1
            self.subscriptions += 1
        topic.paced += (group != 0)
        topic.paced -= (entry.group != 0)
        entry.group = group
        topic.slots[entry.position] = slot | (<uint32_t>PACED if group else 0)
        return new

    cdef bint unsubscribe(self, uint32_t slot, uint32_t id) except -1:
        """End the subscription of `slot` to topic `id`; False if there was none."""
        cdef subscription_t* entry = self.find(slot, id)
        cdef subscriber_t* subscriber = &self.subscribers[slot]
        cdef topic_t* topic = &self.topics[id]
        cdef subscription_t* moved
        cdef uint32_t position, last, at
        if entry == NULL:
            return False
        topic.paced -= (entry.group != 0)
        # the topic's last subscriber takes the place of this one
        position = entry.position
        last = topic.len - 1
        topic.len = last
        if position != last:
            topic.slots[position] = topic.slots[last]
            topic.backs[position] = topic.backs[last]
            self.entry_of(topic, position).position = position
        # the connection's last subscription takes the place of this one
        at = <uint32_t>(entry - subscriber.list)
        last = subscriber.len - 1
        subscriber.len = last
        if at != last:
            moved = &subscriber.list[last]
            subscriber.list[at] = moved[0]
            self.topics[moved.topic].backs[moved.position] = at
        self._shrink(topic, subscriber)
        self.subscriptions -= 1
        return True

    cdef int _shrink(self, topic_t* topic, subscriber_t* subscriber) except -1:
        """Give memory back when three quarters stand empty."""
        cdef uint32_t cap
        if topic.len == 0:
            free_block(topic.slots)
            free_block(topic.backs)
            topic.slots = NULL
            topic.backs = NULL
            topic.cap = 0
        elif topic.cap > 64 and topic.len <= topic.cap // 4:
            cap = topic.cap // 2
            topic.slots = <uint32_t*>resize_block(topic.slots, cap * sizeof(uint32_t))
            topic.backs = <uint32_t*>resize_block(topic.backs, cap * sizeof(uint32_t))
            topic.cap = cap
        if subscriber.len == 0:
            free_block(subscriber.list)
            subscriber.list = NULL
            subscriber.cap = 0
        return 0

    cdef bint covers(self, uint32_t slot, uint32_t channel) except -1:
        """Whether any subscription of `slot` still wants `channel`."""
        cdef uint32_t count = 0
        cdef uint32_t* patterns = self.matching(channel, &count)
        cdef uint32_t at
        if self.find(slot, channel) != NULL:
            return True
        for at in range(count):
            if self.find(slot, patterns[at]) != NULL:
                return True
        return False

    cdef bint covers_name(self, uint32_t slot, const char* name, size_t size) except -1:
        """The same for a channel known by name only: its id may have been given away."""
        cdef str label = name[:size].decode("ascii")
        cdef object known = self.ids.get(label)
        cdef uint32_t id
        if known is not None:
            return self.covers(slot, known)
        for id in self.trie.match(label):
            if self.find(slot, id) != NULL:
                return True
        return False

    # for tests and reports

    def subscribers_of(self, name: str) -> set:
        """The slots subscribed to exactly this channel or pattern."""
        id = self.ids.get(name)
        if id is None:
            return set()
        return {self.topics[<uint32_t>id].slots[at] & SLOT_MASK
                for at in range(self.topics[<uint32_t>id].len)}

    def topics_of(self, slot: int) -> list:
        """The channels and patterns that `slot` is subscribed to."""
        if slot >= self.slots:
            return []
        return [self.labels[self.subscribers[<uint32_t>slot].list[at].topic]
                for at in range(self.subscribers[<uint32_t>slot].len)]

    def check(self) -> None:
        """Assert the invariant over everything; O(all subscriptions)."""
        cdef uint32_t id, at, slot
        cdef topic_t* topic
        cdef subscription_t* entry
        total = 0
        for id in range(self.topics_len):
            topic = &self.topics[id]
            assert topic.used == (self.labels[id] is not None)
            if topic.used:
                assert self.ids[self.labels[id]] == id
            paced = 0
            for at in range(topic.len):
                slot = topic.slots[at] & SLOT_MASK
                assert topic.backs[at] < self.subscribers[slot].len
                entry = self.entry_of(topic, at)
                assert entry.topic == id and entry.position == at
                assert (entry.group != 0) == ((topic.slots[at] & PACED) != 0)
                paced += entry.group != 0
            assert paced == topic.paced
            total += topic.len
        for slot in range(self.slots):
            total -= self.subscribers[slot].len
        assert total == 0, "subscribers and subscriptions do not pair up"
