"""Channels: position, latest value, and a bound on how many are remembered.

Owns: each channel's position and latest value, its encoded frame once somebody wanted one; which
channels have a value.
Here comes later: the keyframe of a channel.
Invariant: a channel stands in the list of unused ones exactly while ``uses == 0``, oldest first;
within an epoch a position never goes back, also when a forgotten channel comes back under the same name.
Cost: everything O(1); encoding once for each publication that anybody wants.
"""

from heapq import heappush, heapreplace

from libc.string cimport memset

from wsgate.core.frame cimport frame_drop, frame_publication
from wsgate.core.frame import publication_head
from wsgate.core.memory cimport free_block, grown, resize_block
from wsgate.core.pattern cimport NO_ID


cdef class Channels:
    """What is known of each channel, by topic id."""

    def __cinit__(self, Counters counters):
        self.counters = counters
        self.heads = []
        self.payloads = []
        self.unused_oldest = NO_ID
        self.unused_newest = NO_ID
        self.epoch_names = []
        self.open_epoch("")

    def __dealloc__(self):
        cdef uint32_t id
        for id in range(self.cap):
            if self.table[id].text != NULL:
                frame_drop(self.table[id].text)
        free_block(self.valued)
        free_block(self.epochs)
        free_block(self.table)

    # epochs

    def open_epoch(self, name: str, floor: int = 0) -> int:
        """The id of the epoch that a source's positions are of; what lies up to `floor` is not known.

        The first, 0, is the gateway's own.
        """
        cdef uint32_t id = len(self.epoch_names)
        if name in self.epoch_names:
            id = self.epoch_names.index(name)
        else:
            self.epochs = <epoch_t*>resize_block(self.epochs, (id + 1) * sizeof(epoch_t))
            memset(&self.epochs[id], 0, sizeof(epoch_t))
            self.epoch_names.append(name)
        self.epochs[id].floor = max(self.epochs[id].floor, <uint64_t>floor)
        self.epochs[id].head = max(self.epochs[id].head, <uint64_t>floor)
        return id

    cdef void lose_up_to(self, uint32_t id, uint64_t seq) noexcept nogil:
        """Of what a source counted in the epoch `id`, up to `seq`, some may never have come."""
        cdef epoch_t* epoch = &self.epochs[id]
        epoch.lost = max(epoch.lost, seq)
        epoch.floor = max(epoch.floor, seq)
        epoch.head = max(epoch.head, seq)

    cdef uint64_t lost(self, channel_t* channel) noexcept nogil:
        """Who is before this position may lack something that nobody has here."""
        return self.epochs[channel.epoch].lost

    # channels

    cdef int open(
        self, uint32_t id, str name, str type, uint8_t rule, ChannelKind kind, uint32_t epoch
    ) except -1:
        """Begin to know the channel with topic id `id`; nobody uses it yet."""
        cdef uint32_t cap
        cdef bytes head = publication_head(type, name)
        if id >= self.cap:
            cap = grown(self.cap, id + 1, 64)
            self.table = <channel_t*>resize_block(self.table, cap * sizeof(channel_t))
            memset(self.table + self.cap, 0, (cap - self.cap) * sizeof(channel_t))
            self.heads.extend([None] * (cap - self.cap))
            self.payloads.extend([None] * (cap - self.cap))
            self.cap = cap
        memset(&self.table[id], 0, sizeof(channel_t))
        self.table[id].known = 1
        self._begin(&self.table[id], epoch)
        self.table[id].name_size = <uint16_t>len(name)
        self.table[id].rule = rule
        self.table[id].kind = kind
        self.heads[id] = head
        self.payloads[id] = None
        self.count += 1
        self._link(id)
        return 0

    cdef int forget(self, uint32_t id) except -1:
        """Forget a channel that nothing uses."""
        cdef channel_t* channel = &self.table[id]
        assert channel.known and channel.uses == 0, "a channel in use was forgotten"
        self._unlink(id)
        if channel.published and channel.kind == STATE:
            self._devalue(id)
        self._leave_epoch(channel)
        if channel.text != NULL:
            frame_drop(channel.text)
        memset(channel, 0, sizeof(channel_t))
        self.heads[id] = None
        self.payloads[id] = None
        self.count -= 1
        return 0

    cdef uint32_t oldest_unused(self) noexcept nogil:
        """The channel to forget first, or NO_ID when all are in use."""
        return self.unused_oldest

    # publications

    cdef void _begin(self, channel_t* channel, uint32_t epoch) noexcept nogil:
        channel.epoch = epoch
        channel.seq = self.epochs[epoch].floor
        if epoch != OWN_EPOCH:
            channel.seq = self.epochs[epoch].head

    cdef void _leave_epoch(self, channel_t* channel) noexcept nogil:
        """Whoever comes to the channel again does not know what its last position was."""
        if channel.published and channel.seq > self.epochs[channel.epoch].floor:
            self.epochs[channel.epoch].floor = channel.seq

    cdef int move(self, uint32_t id, uint32_t epoch) except -1:
        """The channel is counted in another epoch from now on: nothing was published in it yet."""
        cdef channel_t* channel = &self.table[id]
        self._leave_epoch(channel)
        if channel.published and channel.kind == STATE:
            self._devalue(id)
            self.payloads[id] = None
        channel.published = 0
        self._begin(channel, epoch)
        return 0

    cdef bint advance(self, uint32_t id, uint64_t seq) noexcept nogil:
        """Number a publication: by `seq`, which a source gave, or with the next. False: a repeat."""
        cdef channel_t* channel = &self.table[id]
        cdef epoch_t* epoch = &self.epochs[channel.epoch]
        if seq:
            if channel.published and seq <= channel.seq:
                return False
            epoch.head = max(epoch.head, seq)
        else:
            seq = channel.seq + 1       # begins above the floor, which is no publication of its own
        channel.prev = channel.seq if channel.published else 0
        channel.since = channel.seq if channel.published else min(epoch.floor, seq - 1)
        channel.prev = max(channel.prev, min(epoch.lost, seq - 1))
        channel.since = max(channel.since, channel.prev)
        channel.seq = seq
        channel.publications += 1
        channel.published = 1
        if channel.uses == 0 and self.unused_newest != id:
            self._unlink(id)
            self._link(id)
        return True

    cdef frame_t* encode(self, uint32_t id, bytes payload) except NULL:
        """The publication that was numbered last: a new reference."""
        cdef channel_t* channel = &self.table[id]
        cdef frame_t* frame = frame_publication(
            self.heads[id], channel.name_size, channel.rule, channel.seq, channel.prev, payload)
        self.counters.totals.frames_encoded += 1
        self.counters.totals.frames_encoded_bytes += frame.size
        return frame

    cdef int set_value(self, uint32_t id, bytes payload) except -1:
        """`payload` is the latest value of a state channel; encoded when first wanted."""
        cdef channel_t* channel = &self.table[id]
        if self.payloads[id] is None:
            self._value(id)
        self.payloads[id] = payload
        if channel.text != NULL:
            frame_drop(channel.text)
            channel.text = NULL
        return 0

    cdef frame_t* latest(self, uint32_t id) except NULL:
        """The latest value of a state channel that has one, encoded; a borrowed reference."""
        cdef channel_t* channel = &self.table[id]
        if channel.text == NULL:
            channel.text = self.encode(id, self.payloads[id])
        return channel.text

    cdef int _value(self, uint32_t id) except -1:
        if self.valued_len == self.valued_cap:
            self.valued_cap = grown(self.valued_cap, self.valued_len + 1, 64)
            self.valued = <uint32_t*>resize_block(self.valued, self.valued_cap * sizeof(uint32_t))
        self.table[id].valued_at = self.valued_len
        self.valued[self.valued_len] = id
        self.valued_len += 1
        return 0

    cdef void _devalue(self, uint32_t id) noexcept nogil:
        """The last one takes its place."""
        cdef uint32_t last
        self.valued_len -= 1
        last = self.valued[self.valued_len]
        self.valued[self.table[id].valued_at] = last
        self.table[last].valued_at = self.table[id].valued_at

    # what is in use is not forgotten

    cdef void use(self, uint32_t id, uint32_t count) noexcept nogil:
        if count and self.table[id].uses == 0:
            self._unlink(id)
        self.table[id].uses += count

    cdef void unuse(self, uint32_t id, uint32_t count) noexcept nogil:
        self.table[id].uses -= count
        if count and self.table[id].uses == 0:
            self._link(id)

    cdef void _link(self, uint32_t id) noexcept nogil:
        cdef channel_t* channel = &self.table[id]
        channel.older = self.unused_newest
        channel.newer = NO_ID
        if self.unused_newest != NO_ID:
            self.table[self.unused_newest].newer = id
        else:
            self.unused_oldest = id
        self.unused_newest = id

    cdef void _unlink(self, uint32_t id) noexcept nogil:
        cdef channel_t* channel = &self.table[id]
        if channel.older != NO_ID:
            self.table[channel.older].newer = channel.newer
        else:
            self.unused_oldest = channel.newer
        if channel.newer != NO_ID:
            self.table[channel.newer].older = channel.older
        else:
            self.unused_newest = channel.older

    # for reports

    def busiest(self, top: int) -> list:
        """The (publications, id) of those published most since they are known, at most `top` of them.

        Most first; without those that never were. O(channels), and a little more if what is known
        last is busiest.
        """
        cdef list heap = []
        cdef uint64_t least = 0
        cdef uint64_t publications
        cdef uint32_t id
        for id in range(self.cap):
            publications = self.table[id].publications
            if publications <= least:
                continue
            if len(heap) < top:
                heappush(heap, (publications, id))
            else:
                heapreplace(heap, (publications, id))
            if len(heap) == top:
                least = heap[0][0]
        heap.sort(reverse=True)
        return heap

    def check(self) -> None:
        """Assert the invariants of the unused channels, and of those with a value; O(channels)."""
        cdef uint32_t id = self.unused_oldest
        cdef uint32_t before = NO_ID
        unused = 0
        while id != NO_ID:
            assert self.table[id].known and self.table[id].uses == 0
            assert self.table[id].older == before
            before, id, unused = id, self.table[id].newer, unused + 1
        assert before == self.unused_newest
        known = sum(self.table[id].known for id in range(self.cap))
        idle = sum(self.table[id].known and self.table[id].uses == 0 for id in range(self.cap))
        assert known == self.count and idle == unused
        valued = {self.valued[place] for place in range(self.valued_len)}
        assert len(valued) == self.valued_len
        assert all(self.valued[self.table[id].valued_at] == id for id in valued)
        assert valued == {id for id in range(self.cap)
                          if self.table[id].published and self.table[id].kind == STATE}
