"""History: the newest events of each channel, for clients that come back and ask for what they missed.

Owns: a reference to the frame of each event that is kept. Bounded for each rule: by events of a channel,
by bytes of all its channels together, by age.
Invariant: a channel's events are linked in order of their positions, a rule's in the order in which they
came; so the oldest of a rule is the oldest of its channel.
Cost: keeping O(1) and the events that make room; finding where to go on O(events kept of the channel).

    rule 1     a41 ─ b7 ─ a42 ─ c1 ─ a43         what goes first stands first
    channel a  a41 ──────▶ a42 ──────▶ a43       what is replayed, in order

An event says how far back it is known that nothing lies before it (`since`): the position of the event
before it, or where the gateway's knowledge begins. So whoever was there up to a position has a hole
unless each event after it follows on the one before.
"""

from libc.string cimport memset

from wsgate.core.frame cimport frame_drop
from wsgate.core.memory cimport free_block, grown, resize_block

cdef enum:
    EXPIRED_A_CALL_MAX = 2000   # so that no tick takes long


cdef inline uint64_t _weight(const event_t* event) noexcept nogil:
    return event.frame.size + sizeof(event_t) + sizeof(frame_t)


cdef class History:
    """`limits`: for each rule (events of a channel, bytes, milliseconds); 0 events keep nothing."""

    def __cinit__(self, limits):
        self.rules = len(limits)
        memset(self.shelves, 0, sizeof(self.shelves))
        for place, (count_max, bytes_max, age_max_ms) in enumerate(limits):
            self.shelves[place].count_max = count_max
            self.shelves[place].bytes_max = bytes_max
            self.shelves[place].age_max_ms = age_max_ms

    def __dealloc__(self):
        cdef uint32_t channel
        for channel in range(self.cap):
            self.forget(channel)
        free_block(self.pasts)

    cdef int reserve(self, uint32_t channels) except -1:
        """Channels with ids below `channels` may be kept from now on."""
        cdef uint32_t cap
        if channels > self.cap:
            cap = grown(self.cap, channels, 64)
            self.pasts = <past_t*>resize_block(self.pasts, cap * sizeof(past_t))
            memset(self.pasts + self.cap, 0, (cap - self.cap) * sizeof(past_t))
            self.cap = cap
        return 0

    cdef int keep(
        self, uint32_t channel, frame_t* frame, uint64_t seq, uint64_t since, uint64_t now_ms
    ) except -1:
        """Remember an event, newer than all of its channel; the caller hands over a reference."""
        cdef past_t* past = &self.pasts[channel]
        cdef shelf_t* shelf = &self.shelves[frame.rule]
        cdef event_t* event = <event_t*>resize_block(NULL, sizeof(event_t))
        event.frame = frame
        event.seq = seq
        event.since = since
        event.at_ms = now_ms
        event.channel = channel
        event.next = NULL
        event.newer = NULL
        event.older = shelf.newest
        if shelf.newest != NULL:
            shelf.newest.newer = event
        else:
            shelf.oldest = event
        shelf.newest = event
        if past.newest != NULL:
            past.newest.next = event
        else:
            past.oldest = event
        past.newest = event
        past.len += 1
        shelf.len += 1
        shelf.bytes += _weight(event)
        if past.len > shelf.count_max:
            self._drop_oldest(channel)
        while shelf.bytes > shelf.bytes_max:
            self._drop_oldest(shelf.oldest.channel)
        return 0

    cdef int _drop_oldest(self, uint32_t channel) except -1:
        cdef past_t* past = &self.pasts[channel]
        cdef event_t* event = past.oldest
        cdef shelf_t* shelf = &self.shelves[event.frame.rule]
        past.oldest = event.next
        if event.next == NULL:
            past.newest = NULL
        past.len -= 1
        if event.older != NULL:
            event.older.newer = event.newer
        else:
            shelf.oldest = event.newer
        if event.newer != NULL:
            event.newer.older = event.older
        else:
            shelf.newest = event.older
        shelf.len -= 1
        shelf.bytes -= _weight(event)
        frame_drop(event.frame)
        free_block(event)
        return 0

    cdef int forget(self, uint32_t channel) except -1:
        """Nothing of the channel is kept any more."""
        while channel < self.cap and self.pasts[channel].len:
            self._drop_oldest(channel)
        return 0

    cdef int expire(self, uint64_t now_ms) except -1:
        """Give up what is too old; some of it, if that is very much."""
        cdef uint32_t left = EXPIRED_A_CALL_MAX
        cdef uint32_t rule
        cdef shelf_t* shelf
        for rule in range(self.rules):
            shelf = &self.shelves[rule]
            while left and shelf.oldest != NULL and shelf.oldest.at_ms + shelf.age_max_ms < now_ms:
                self._drop_oldest(shelf.oldest.channel)
                left -= 1
        return 0

    cdef event_t* first_after(self, uint32_t channel, uint64_t seq) noexcept nogil:
        """The oldest event kept of the channel that lies after `seq`; NULL if there is none."""
        cdef event_t* event
        if channel >= self.cap:
            return NULL
        event = self.pasts[channel].oldest
        while event != NULL and event.seq <= seq:
            event = event.next
        return event

    # for reports

    def of_rule(self, rule: int) -> tuple:
        """(events, bytes) that are kept of a rule's channels."""
        return self.shelves[<uint32_t>rule].len, self.shelves[<uint32_t>rule].bytes

    def check(self) -> None:
        """Assert the invariant and the limits; O(events)."""
        cdef event_t* event
        cdef event_t* before
        cdef uint32_t rule, channel
        lens = dict()
        for rule in range(self.rules):
            before, event, weight, count = NULL, self.shelves[rule].oldest, 0, 0
            while event != NULL:
                assert event.older == before and event.frame.rule == rule
                weight += _weight(event)
                count += 1
                before, event = event, event.newer
            assert before == self.shelves[rule].newest
            assert weight == self.shelves[rule].bytes <= self.shelves[rule].bytes_max
            assert count == self.shelves[rule].len
            lens[rule] = count
        total = 0
        for channel in range(self.cap):
            event, count = self.pasts[channel].oldest, 0
            before = NULL
            while event != NULL:
                assert event.channel == channel and event.since < event.seq
                assert before == NULL or before.seq <= event.since
                count += 1
                before, event = event, event.next
            assert before == self.pasts[channel].newest and count == self.pasts[channel].len
            if count:
                assert count <= self.shelves[self.pasts[channel].oldest.frame.rule].count_max
            total += count
        assert total == sum(lens.values())
