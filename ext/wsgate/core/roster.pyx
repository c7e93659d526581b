"""The roster: connections, the channels that are known, and the subscriptions between them.

Owns: index, channels, outboxes, clocks and timers, and keeps them in step with one another.
Invariant: a channel is in use by each of its subscribers; a pattern is known only while it has some;
what a connection is owed is for channels that one of its subscriptions still wants.
Cost: subscribing to a channel O(own subscriptions); to a pattern O(channels with a value), to see
which it owes; unsubscribing O(own subscriptions + owed).
"""

from cpython.unicode cimport PyUnicode_AsUTF8AndSize

from wsgate.core.buckets cimport buckets_add, buckets_begin, buckets_end, buckets_t
from wsgate.core.channel cimport EVENT, STATE, channel_t
from wsgate.core.delta cimport DeltaEncoder
from wsgate.core.idset cimport idset_add, idset_at, idset_contains
from wsgate.core.index cimport NO_ID, subscription_t, topic_t
from wsgate.core.outbox cimport (
    CLOSING,
    DOOMED,
    OPEN,
    outbox_purge_events,
    outbox_purge_states,
    outbox_t,
)
from wsgate.core.pattern cimport pattern_matches
from wsgate.core.sink cimport Sink

# The timers that the shell may schedule, and gets back from ``Fanout.tick``.
ALIVE_TIMER = TIMER_ALIVE
CLOSE_TIMER = TIMER_CLOSE
LOGIN_TIMER = TIMER_LOGIN


class TooManyChannels(Exception):
    """Every channel that may be remembered is in use."""


class TooManyRates(Exception):
    """The connection uses eight different max_rate values already."""


cdef class Roster:
    """The part of the core that commands change; ``Recovery`` and ``Fanout`` add publications.

    `rules`: (type, kind, overflow) for each rule, kind "state" or "event", overflow "gap" or "close";
    channels name their rule by its place in this list. `squeeze`: see ``DeltaEncoder``.
    """

    def __init__(self, sink: Sink, rules, gap_message, *, channels_max: int, now_ms: int = 0,
                 events_bytes_max: int, events_count_max: int, control_bytes_max: int,
                 compress=None, deflate_bytes_min: int = 0, squeeze=None):
        self.counters = Counters()
        self.index = Index()
        self.channels = Channels(self.counters)
        self.delivery = Delivery(
            self.channels, self.counters, sink, gap_message,
            events_bytes_max=events_bytes_max, events_count_max=events_count_max,
            control_bytes_max=control_bytes_max,
            compress=compress, deflate_bytes_min=deflate_bytes_min,
            encoder=squeeze and DeltaEncoder(
                self.counters, squeeze, [(type, kind) for type, kind, _ in rules], channels_max))
        self.wheel = Wheel(now_ms)
        self.paces = Paces(self.channels)
        self.channels_max = channels_max
        self.rules = [(type, {"state": STATE, "event": EVENT}[kind]) for type, kind, _ in rules]

    # connections

    def open(self, window_bits: int = 0, delta: bool = False) -> int:
        """A new connection: its handle. See ``Delivery.open`` for `window_bits` and `delta`."""
        cdef uint64_t handle = self.delivery.open(window_bits, delta)
        self.index.reserve_slots(self.delivery.cap)
        self.wheel.reserve(self.delivery.cap * TIMERS)
        self.paces.reserve(self.delivery.cap)
        return handle

    def release(self, handle: int) -> bool:
        """The connection is gone: its subscriptions, what it is owed, its timers and its slot."""
        cdef uint32_t slot = <uint32_t><uint64_t>handle
        cdef uint32_t timer
        if self.delivery.find(handle) == NULL:
            return False
        while self.index.subscribers[slot].len:
            self.end_subscription(
                slot, self.index.subscribers[slot].list[self.index.subscribers[slot].len - 1].topic)
        self.paces.forget(slot)
        for timer in range(TIMERS):
            self.wheel.cancel_node(slot * TIMERS + timer)
        return self.delivery.release(handle)

    def schedule(self, handle: int, timer: int, due_ms: int) -> None:
        """Let ``tick`` report (handle, `timer`) at `due_ms`; replaces that timer's earlier deadline."""
        if self.delivery.find(handle) != NULL:
            self.wheel.schedule_node(<uint32_t><uint64_t>handle * TIMERS + <uint32_t>timer, due_ms)

    @property
    def paced_connections(self) -> int:
        """How many have set a rate: their clocks want ``tick`` called often."""
        return self.paces.count

    def subscriptions_of(self, handle: int) -> list:
        """The channels and patterns that the connection is subscribed to."""
        if self.delivery.find(handle) == NULL:
            return []
        return self.index.topics_of(<uint32_t><uint64_t>handle)

    def subscription_count(self, handle: int) -> int:
        """How many channels and patterns the connection is subscribed to."""
        if self.delivery.find(handle) == NULL:
            return 0
        return self.index.subscribers[<uint32_t><uint64_t>handle].len

    def is_subscribed(self, handle: int, name: str) -> bool:
        """Whether the connection is subscribed to exactly this channel or pattern."""
        cdef object id = self.index.ids.get(name)
        if id is None or self.delivery.find(handle) == NULL:
            return False
        return self.index.find(<uint32_t><uint64_t>handle, id) != NULL

    # channels

    def find_channel(self, name: str) -> int | None:
        """The id of a channel that is known, good until the next call that opens one."""
        cdef uint32_t id = self.known_channel(name)
        return None if id == NO_ID else id

    def rule_of(self, name: str) -> int | None:
        """The rule of a channel that is known: such a name is well-formed, and was allowed."""
        cdef uint32_t id = self.known_channel(name)
        return None if id == NO_ID else self.channels.table[id].rule

    cdef uint32_t known_channel(self, str name) except? 0xFFFFFFFF:
        cdef object id = self.index.ids.get(name)
        if id is None or self.index.topics[<uint32_t>id].is_pattern:
            return NO_ID
        return id

    def open_channel(self, name: str, rule: int, epoch: int = 0) -> int:
        """The id of channel `name`, which is known from now on; the oldest unused one may be forgotten.

        `epoch`: the one its publications will be of, if that is known and nothing else yet of the
        channel. Raises TooManyChannels when all that may be known are in use.
        """
        return self.ensure_channel(name, rule, epoch)

    cdef uint32_t ensure_channel(self, str name, uint8_t rule, uint32_t epoch) except? 0xFFFFFFFF:
        cdef uint32_t id = self.known_channel(name)
        cdef uint32_t oldest
        if id != NO_ID:
            return id
        if self.channels.count >= self.channels_max:
            oldest = self.channels.oldest_unused()
            if oldest == NO_ID:
                raise TooManyChannels(
                    f"all {self.channels_max} channels that may be remembered are in use")
            self.forget_channel(oldest)
        type, kind = self.rules[rule]
        id = self.index.open_topic(name, False)
        self.channels.open(id, name, type, rule, kind, epoch)
        return id

    cdef int forget_channel(self, uint32_t id) except -1:
        """Make room: nobody uses it."""
        self.channels.forget(id)
        self.index.drop_topic(id)
        self.counters.totals.channels_evicted += 1
        return 0

    # subscriptions

    def subscribe(self, handle: int, name: str, rule: int, interval_ms: int = 0) -> int:
        """Subscribe to a channel; returns its position: nothing up to there will come any more.

        A state channel's latest value is owed at once. `interval_ms` > 0: later ones leave at most
        that often. Raises TooManyChannels, TooManyRates, KeyError if the connection is gone.
        """
        cdef uint32_t slot = self.slot_of(handle)
        cdef uint32_t id = self.ensure_channel(name, rule, 0)
        cdef channel_t* channel
        self.settle(id)
        if self.join(slot, id, interval_ms):
            self.channels.use(id, 1)
        channel = &self.channels.table[id]
        if channel.published and channel.kind == STATE:
            self.owe(slot, id)
        return channel.seq

    def subscribe_pattern(self, handle: int, pattern: str, interval_ms: int = 0) -> None:
        """Subscribe to every channel that matches; known values of state channels are owed at once."""
        cdef uint32_t slot = self.slot_of(handle)
        cdef list values = self.values_matching(pattern)
        cdef uint32_t topic, id
        for id in values:
            self.settle(id)
        topic = self.index.open_topic(pattern, True)
        try:
            self.join(slot, topic, interval_ms)
        finally:
            self.drop_pattern(topic)
        self.paces.give_up(slot, values)        # all at once: one by one it would be quadratic
        for id in values:
            self.owe(slot, id)

    def unsubscribe(self, handle: int, name: str) -> bool:
        """End a subscription and give up what is owed for it alone; False if there was none."""
        cdef uint32_t slot = self.slot_of(handle)
        cdef object id = self.index.ids.get(name)
        cdef bint is_pattern
        if id is None or self.index.find(slot, id) == NULL:
            return False
        is_pattern = self.index.topics[<uint32_t>id].is_pattern
        self.end_subscription(slot, id)
        self.purge(slot, name, self.due_matching(slot, name) if is_pattern else [id])
        return True

    cdef uint32_t slot_of(self, uint64_t handle) except? 0xFFFFFFFF:
        if self.delivery.find(handle) == NULL:
            raise KeyError(f"connection {handle:#x} is gone")
        return <uint32_t>handle

    cdef bint join(self, uint32_t slot, uint32_t id, uint32_t interval_ms) except -1:
        """Subscribe in the index and at the clocks; whether it is a new subscription."""
        cdef subscription_t* before = self.index.find(slot, id)
        cdef uint32_t group_before = 0 if before == NULL else before.group
        cdef uint32_t group = 0
        cdef bint new
        if interval_ms:
            group = self.paces.group_for(slot, interval_ms)
            if group == 0:
                raise TooManyRates("a connection may use at most 8 different max_rate values")
            self.paces.join(slot, group)
        new = self.index.subscribe(slot, id, group)
        if group_before:
            self.paces.leave(slot, group_before)
        return new

    cdef int settle(self, uint32_t id) except -1:
        """Before somebody new subscribes: let what was published already go to who was there."""
        raise TypeError("Fanout settles")

    cdef int owe(self, uint32_t slot, uint32_t id) except -1:
        """Owe one connection the latest value of a state channel: no clock needs to hold it then."""
        cdef outbox_t* box = &self.delivery.outboxes[slot]
        if box.flags & (CLOSING | DOOMED):
            return 0
        if idset_add(&box.owed, id):
            self.channels.use(id, 1)
        else:
            self.counters.totals.conflated_owed += 1
        if self.paces.by_slot[slot] is not None:
            self.paces.give_up(slot, (id,))
        self.delivery.mark(slot, box)
        return 0

    cdef int disown(self, uint32_t slot, uint32_t id) except -1:
        """The connection has the latest value already."""
        if outbox_purge_states(&self.delivery.outboxes[slot], (id,), self.channels):
            self.counters.totals.purged += 1
        return 0

    cdef bint matched(self, bytes pattern, uint32_t channel) except -1:
        cdef Py_ssize_t size
        cdef const char* name = PyUnicode_AsUTF8AndSize(self.index.labels[channel], &size)
        return pattern_matches(pattern, len(pattern), name, size)

    cdef list values_matching(self, str pattern):
        """The state channels that have a value and that `pattern` matches, in the order of their ids."""
        cdef bytes pattern_bytes = pattern.encode("ascii")
        cdef uint32_t place
        cdef list found = [
            self.channels.valued[place] for place in range(self.channels.valued_len)
            if self.matched(pattern_bytes, self.channels.valued[place])]
        found.sort()
        return found

    cdef list due_matching(self, uint32_t slot, str pattern):
        """The channels that are owed to the connection, or held for it, and that `pattern` matches."""
        cdef bytes pattern_bytes = pattern.encode("ascii")
        cdef outbox_t* box = &self.delivery.outboxes[slot]
        cdef list due = self.paces.held(slot)
        cdef uint32_t id, at
        due += [idset_at(&box.owed, at) for at in range(box.owed.len)]
        return [id for id in due if self.matched(pattern_bytes, id)]

    cdef int drop_pattern(self, uint32_t id) except -1:
        """Forget a pattern that nobody is subscribed to any more."""
        if self.index.topics[id].is_pattern and self.index.topics[id].len == 0:
            self.index.drop_topic(id)
        return 0

    cdef int end_subscription(self, uint32_t slot, uint32_t id) except -1:
        cdef uint32_t group = self.index.find(slot, id).group
        self.index.unsubscribe(slot, id)
        if group:
            self.paces.leave(slot, group)
        if self.index.topics[id].is_pattern:
            self.drop_pattern(id)
        else:
            self.channels.unuse(id, 1)
        return 0

    cdef int purge(self, uint32_t slot, str ended, list states) except -1:
        """Give up what was owed or held for the sake of the subscription `ended` alone.

        `states`: the state channels that it may have asked for.
        """
        cdef outbox_t* box = &self.delivery.outboxes[slot]
        cdef set unwanted = {id for id in states if not self.index.covers(slot, id)}
        self.counters.totals.purged += outbox_purge_states(box, unwanted, self.channels)
        self.counters.totals.purged += outbox_purge_events(
            box, slot, ended.encode("ascii"), self.index)
        self.paces.give_up(slot, unwanted)
        return 0

    cdef dict uses(self):
        """How often each channel is in use, counted where it is used."""
        cdef dict found = {}
        cdef outbox_t* box
        cdef uint32_t id, slot, at
        for id in range(self.index.topics_len):
            if self.index.topics[id].used and not self.index.topics[id].is_pattern:
                found[id] = self.index.topics[id].len
        for slot in range(self.delivery.slots.limit):
            box = &self.delivery.outboxes[slot]
            for at in range(box.owed.len):
                found[idset_at(&box.owed, at)] += 1
            for id in self.paces.held(slot):
                assert not idset_contains(&box.owed, id), "what is owed is not held besides"
                found[id] += 1
        return found

    # for reports

    def subscriptions_per_connection(self, bounds) -> tuple:
        """How many connections have how many subscriptions: (counts, sum).

        A count for each bound, of those up to it and above the one before, and one for those above
        all. O(slots).
        """
        cdef buckets_t buckets
        cdef uint32_t slot
        buckets_begin(&buckets, bounds)
        for slot in range(self.delivery.slots.limit):
            if self.delivery.outboxes[slot].flags & OPEN:
                buckets_add(&buckets, self.index.subscribers[slot].len)
        return buckets_end(&buckets)

    def subscribers_per_channel(self, bounds) -> tuple:
        """The same of channels and those subscribed to them by name, not by a pattern; O(topics)."""
        cdef buckets_t buckets
        cdef uint32_t id
        cdef topic_t* topic
        buckets_begin(&buckets, bounds)
        for id in range(self.index.topics_len):
            topic = &self.index.topics[id]
            if topic.used and not topic.is_pattern:
                buckets_add(&buckets, topic.len)
        return buckets_end(&buckets)

    def check(self) -> None:
        """Assert every invariant of the core; O(everything)."""
        cdef uint32_t id
        self.index.check()
        self.channels.check()
        self.delivery.check()
        for id, count in self.uses().items():
            assert self.channels.table[id].uses == count, f"{self.index.labels[id]}: {count} uses"
