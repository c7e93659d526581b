"""Fan-out: a publication is encoded once and goes into the outbox of everybody who wants it.

Owns: which state channels wait to be spread. Never: reads a clock, logs, writes to a connection.

    event   publish ──▶ frame ──▶ a reference in the events lane of every subscriber
    state   publish ──▶ latest value … spread, once before each flush ──▶ channel id in the state lane
            … encoded when the first connection is written to

Invariant: a connection gets a publication once, however many of its subscriptions match: its outbox
bears the stamp of the last publication put there.
Cost: an event O(subscribers) pushes; a state publication O(1), its spread O(subscribers) once for all
that was published since the last.
"""

from libc.string cimport memmove

from wsgate.core.channel cimport EVENT, channel_t
from wsgate.core.delivery cimport Delivery
from wsgate.core.frame cimport frame_drop, frame_keep
from wsgate.core.idset cimport idset_add, idset_contains
from wsgate.core.index cimport NO_ID, PACED, SLOT_MASK
from wsgate.core.memory cimport free_block, grown, resize_block
from wsgate.core.outbox cimport (
    CLOSING,
    DOOMED,
    outbox_has_room,
    outbox_push_event,
    outbox_t,
)
from wsgate.core.pace cimport HELD, RELEASED
from wsgate.core.recovery cimport Recovery
from wsgate.core.roster cimport TIMER_PACE, TIMERS
from wsgate.core.sink cimport Sink

cdef extern from * nogil:
    void prefetch "__builtin_prefetch"(const void*)

cdef enum:
    PREFETCH_BOX = 12           # subscribers ahead: their outboxes are cold at 10,000 connections
    PREFETCH_LANE = 6
    SPREAD_A_VISIT = 128        # ids put into that many outboxes cost about one write ...
    SPREAD_LEAST = 4            # ... and a channel about as much as that many, if nobody wants it
    NO_TIMER = 0xFFFFFFFF


cdef class Fanout(Recovery):
    """The core as one object; see ``Roster`` for connections and subscriptions, ``Recovery`` for positions.

    `rules`: (type, kind, overflow), at most 64. `gap_message`: (rules mask) -> payload.
    """

    def __init__(self, sink: Sink, rules, gap_message, *, now_ms: int = 0, **limits):
        if not 0 < len(rules) <= RULES_MAX:
            raise ValueError(f"from 1 to {RULES_MAX} rules are possible, not {len(rules)}")
        Recovery.__init__(self, sink, rules, gap_message, now_ms=now_ms, **limits)
        self.now_ms = now_ms
        for place, (_, _, overflow) in enumerate(rules):
            self.overflow_closes[place] = {"gap": 0, "close": 1}[overflow]

    def __dealloc__(self):
        free_block(self.pending.ids)

    def publish(self, id: int, payload: bytes, seq: int = 0, epoch: int = 0) -> bool:
        """Publish `payload` (JSON, checked) on a known channel; whether anybody wants it.

        `seq`: its position in a source's `epoch`; 0: the next one of the gateway's own. A position
        that does not lie above the channel's last in that epoch is a repeat, and ignored.
        """
        cdef channel_t* channel = self.numbered(id, seq, epoch)
        if channel == NULL:
            return False
        self.counters.by_rule[channel.rule].publications += 1
        if channel.kind == EVENT:
            return self.publish_event(id, payload) != 0
        return self.publish_state(id, payload) != 0

    def restore(self, id: int, payload: bytes, seq: int, epoch: int) -> bool:
        """Take a publication from before: an event is remembered and sent to nobody.

        A state is the latest value as if it were published now. Whether anybody wants it.
        """
        cdef channel_t* channel = self.numbered(id, seq, epoch)
        if channel == NULL:
            return False
        if channel.kind != EVENT:
            return self.publish_state(id, payload) != 0
        if self.history.shelves[channel.rule].count_max:
            self.remember(id, self.channels.encode(id, payload))
        return False

    cdef channel_t* numbered(self, uint64_t id, uint64_t seq, uint32_t epoch) except? NULL:
        """A known channel with a publication more than before; NULL if it is a repeat."""
        if id >= self.channels.cap or not self.channels.table[id].known:
            raise KeyError(f"no channel has the id {id}")
        if self.channels.table[id].epoch != epoch:
            self.move_to(<uint32_t>id, epoch)
        if not self.channels.advance(<uint32_t>id, seq):
            self.counters.totals.publications_repeated += 1
            return NULL
        return &self.channels.table[id]

    cdef int remember(self, uint32_t id, frame_t* frame) except -1:
        """Keep the channel's newest event for who comes back; hands over a reference."""
        cdef channel_t* channel = &self.channels.table[id]
        self.history.reserve(id + 1)
        return self.history.keep(id, frame, channel.seq, channel.since, self.now_ms)

    cdef uint32_t next_stamp(self) noexcept:
        cdef uint32_t slot
        self.stamp += 1
        if self.stamp == 0:             # after 2^32 publications every stamp starts anew
            for slot in range(self.delivery.cap):
                self.delivery.outboxes[slot].stamp = 0
            self.stamp = 1
        return self.stamp

    def is_event(self, id: int) -> bool:
        """Whether each publication of a known channel matters, not the latest alone."""
        return self.channels.table[<uint32_t>id].kind == EVENT

    def is_wanted(self, id: int) -> bool:
        """Whether anybody is subscribed to a known channel, by its name or a pattern."""
        return self.audience(id) != 0

    # events

    cdef int publish_event(self, uint32_t id, bytes payload) except -1:
        cdef uint32_t patterns_len = 0
        cdef uint32_t* patterns = self.index.matching(id, &patterns_len)
        cdef topic_t* topics = self.index.topics
        cdef uint8_t rule = self.channels.table[id].rule
        cdef bint kept = self.history.shelves[rule].count_max != 0
        cdef bint wanted = topics[id].len != 0 or patterns_len != 0
        cdef uint32_t at, queued
        cdef frame_t* frame
        if not wanted:
            self.counters.totals.publications_unwanted += 1
            if not kept:
                return 0
        frame = self.channels.encode(id, payload)
        if wanted:
            self.next_stamp()
            queued = self.put(&topics[id], frame, id)
            for at in range(patterns_len):
                queued += self.put(&topics[patterns[at]], frame, id)
            frame_keep(frame, queued)
        if kept:
            self.remember(id, frame)
        else:
            frame_drop(frame)
        return wanted

    cdef uint32_t put(self, topic_t* topic, frame_t* frame, uint32_t id) except? 0xFFFFFFFF:
        """Queue `frame` for the topic's subscribers that have not got it; the references this takes."""
        cdef Delivery delivery = self.delivery
        cdef outbox_t* boxes = delivery.outboxes
        cdef outbox_t* box
        cdef uint32_t* slots = topic.slots
        cdef uint32_t len = topic.len
        cdef uint32_t stamp = self.stamp
        cdef uint8_t rule = frame.rule
        cdef bint some_silent = self.channels.table[id].silences != 0
        cdef uint32_t queued = 0
        cdef uint32_t at, slot
        for at in range(len):
            if at + PREFETCH_BOX < len:
                prefetch(&boxes[slots[at + PREFETCH_BOX] & SLOT_MASK])
                prefetch(boxes[slots[at + PREFETCH_LANE] & SLOT_MASK].ring)
            slot = slots[at] & SLOT_MASK
            box = &boxes[slot]
            if box.stamp == stamp or box.flags & (CLOSING | DOOMED):
                continue
            box.stamp = stamp
            if some_silent and self.is_silent(slot, id):
                continue
            if box.gapped or not outbox_has_room(box, frame.size, &delivery.limits):
                delivery.miss(slot, <uint64_t>1 << rule, self.overflow_closes[rule])
                continue
            if box.len < box.cap:
                box.ring[(box.head + box.len) & (box.cap - 1)] = frame
                box.len += 1
                box.bytes += frame.size
            else:
                outbox_push_event(box, frame)
            queued += 1
            delivery.mark(slot, box)
        return queued

    def lose(self, id: int, seq: int = 0, epoch: int = 0) -> None:
        """An event on a known channel is not to be sent: who would get it is told by a gap instead."""
        cdef uint32_t patterns_len = 0
        cdef uint32_t* patterns = self.index.matching(id, &patterns_len)
        cdef uint32_t at
        if self.numbered(id, seq, epoch) == NULL:
            return
        self.next_stamp()
        self.lose_all(&self.index.topics[<uint32_t>id], self.channels.table[<uint32_t>id].rule)
        for at in range(patterns_len):
            self.lose_all(&self.index.topics[patterns[at]], self.channels.table[<uint32_t>id].rule)

    cdef int lose_all(self, topic_t* topic, uint8_t rule) except -1:
        cdef outbox_t* box
        cdef uint32_t at, slot
        for at in range(topic.len):
            slot = topic.slots[at] & SLOT_MASK
            box = &self.delivery.outboxes[slot]
            if box.stamp != self.stamp and not box.flags & (CLOSING | DOOMED):
                box.stamp = self.stamp
                self.delivery.lose(slot, <uint64_t>1 << rule)
        return 0

    # state

    cdef int publish_state(self, uint32_t id, bytes payload) except -1:
        cdef uint32_t wanted = self.audience(id)
        self.channels.set_value(id, payload)
        if wanted == 0:
            self.counters.totals.publications_unwanted += 1
        elif self.channels.table[id].pending:
            # Nothing was spread since the last publication: this one takes its place for everybody.
            self.counters.totals.conflated_gathered += wanted
        else:
            self.add_pending(id)
        return wanted != 0

    cdef uint32_t audience(self, uint32_t id) except? 0xFFFFFFFF:
        """How many subscriptions match channel `id`."""
        cdef uint32_t patterns_len = 0
        cdef uint32_t* patterns = self.index.matching(id, &patterns_len)
        cdef uint32_t count = self.index.topics[id].len
        cdef uint32_t at
        for at in range(patterns_len):
            count += self.index.topics[patterns[at]].len
        return count

    cdef int add_pending(self, uint32_t id) except -1:
        cdef pending_t* pending = &self.pending
        if pending.head + pending.len == pending.cap:
            if pending.head > pending.len:
                memmove(pending.ids, pending.ids + pending.head, pending.len * sizeof(uint32_t))
                pending.head = 0
            else:
                pending.cap = grown(pending.cap, pending.cap + 1, 64)
                pending.ids = <uint32_t*>resize_block(pending.ids, pending.cap * sizeof(uint32_t))
        pending.ids[pending.head + pending.len] = id
        pending.len += 1
        self.channels.table[id].pending = 1
        self.channels.use(id, 1)
        return 0

    cdef int settle(self, uint32_t id) except -1:
        """Spread the channel out of turn; its place in the queue stays and will find it done."""
        if self.channels.table[id].pending:
            return self.spread(id)
        return 0

    cdef int spread(self, uint32_t id) except -1:
        """Owe the latest value of a state channel to everybody subscribed."""
        cdef uint32_t patterns_len = 0
        cdef uint32_t* patterns = self.index.matching(id, &patterns_len)
        cdef topic_t* topics = self.index.topics
        cdef uint32_t paced = topics[id].paced
        cdef uint32_t at, owed
        self.next_stamp()
        owed = self.owe_all(&topics[id], id)
        for at in range(patterns_len):
            owed += self.owe_all(&topics[patterns[at]], id)
            paced += topics[patterns[at]].paced
        self.channels.use(id, owed)
        if paced:
            # Last, for whom no subscription without a rate owes it already.
            self.offer_all(&topics[id], id)
            for at in range(patterns_len):
                self.offer_all(&topics[patterns[at]], id)
        self.channels.table[id].pending = 0
        return 0

    cdef uint32_t owe_all(self, topic_t* topic, uint32_t id) except? 0xFFFFFFFF:
        """Owe channel `id` to the topic's subscribers without a rate; how many owe it newly."""
        cdef Delivery delivery = self.delivery
        cdef outbox_t* boxes = delivery.outboxes
        cdef outbox_t* box
        cdef uint32_t* slots = topic.slots
        cdef uint32_t len = topic.len
        cdef uint32_t stamp = self.stamp
        cdef bint some_silent = self.channels.table[id].silences != 0
        cdef uint32_t owed = 0
        cdef uint32_t at, slot
        for at in range(len):
            if at + PREFETCH_BOX < len:
                prefetch(&boxes[slots[at + PREFETCH_BOX] & SLOT_MASK])
                prefetch(boxes[slots[at + PREFETCH_LANE] & SLOT_MASK].owed.ids)
            slot = slots[at]
            if slot & PACED:
                continue
            box = &boxes[slot]
            if box.stamp == stamp or box.flags & (CLOSING | DOOMED):
                continue
            box.stamp = stamp
            if some_silent and self.is_silent(slot, id):
                continue
            if idset_add(&box.owed, id):
                owed += 1
            else:
                self.counters.totals.conflated_owed += 1
            delivery.mark(slot, box)
        return owed

    cdef int offer_all(self, topic_t* topic, uint32_t id) except -1:
        """Let the clocks of the topic's paced subscribers decide when they are owed channel `id`."""
        cdef uint32_t at, slot
        cdef outbox_t* box
        cdef int answer
        for at in range(topic.len):
            slot = topic.slots[at] & SLOT_MASK
            box = &self.delivery.outboxes[slot]
            if (not topic.slots[at] & PACED or box.stamp == self.stamp
                    or box.flags & (CLOSING | DOOMED)):
                continue
            box.stamp = self.stamp
            if self.channels.table[id].silences and self.is_silent(slot, id):
                continue
            if idset_contains(&box.owed, id):
                self.counters.totals.conflated_owed += 1    # the newer value goes in its place
                continue
            answer = self.paces.offer(slot, self.index.entry_of(topic, at).group, id, self.now_ms)
            if answer == RELEASED:
                self.owe(slot, id)
            elif answer == HELD:
                self.wheel.schedule_node(
                    slot * TIMERS + TIMER_PACE, self.paces.next_release(slot))
            else:
                self.counters.totals.conflated_held += 1
        return 0

    cdef int strike(self, uint32_t slot) except -1:
        """A clock of the connection is due: owe what it held back."""
        cdef uint32_t id
        cdef uint64_t next_ms
        for id in self.paces.take_due(slot, self.now_ms):
            self.owe(slot, id)
            self.channels.unuse(id, 1)
        next_ms = self.paces.next_release(slot)
        if next_ms:
            self.wheel.schedule_node(slot * TIMERS + TIMER_PACE, next_ms)
        return 0

    # driven by the shell

    def flush(self, now_ms: int, visits: int, more: int = 0) -> bool:
        """Spread what was published and write to dirty connections, about `visits` of them.

        While the sink says that nothing else is waiting it goes on, for up to `more` visits.
        Returns True while the round is unfinished: call again, after the loop had its turn. What
        becomes dirty behind the round's place waits for the next one (``dirty_count``).
        """
        cdef pending_t* pending = &self.pending
        cdef uint64_t left = <uint64_t>visits * SPREAD_A_VISIT
        cdef uint32_t id
        self.now_ms = now_ms
        while pending.len and left:
            id = pending.ids[pending.head]
            pending.head += 1
            pending.len -= 1
            left -= min(left, <uint64_t>(SPREAD_LEAST + self.audience(id)))
            if self.channels.table[id].pending:
                self.spread(id)
            self.channels.unuse(id, 1)
        self.paces.instant += 1
        if pending.len == 0:
            pending.head = 0
        if left < SPREAD_A_VISIT:
            return True
        return self.delivery.flush_round(<uint32_t>(left // SPREAD_A_VISIT), more)

    def settle_all(self) -> None:
        """Spread all that was published, now: before a connection ends that is owed it still."""
        cdef uint32_t at
        for at in range(self.pending.len):
            self.settle(self.pending.ids[self.pending.head + at])

    def tick(self, now_ms: int) -> list:
        """Let time pass: clocks strike; the shell's due timers come back as (handle, timer)."""
        cdef uint32_t node, slot
        cdef list due = []
        self.now_ms = now_ms
        self.history.expire(now_ms)
        while True:
            node = self.wheel.pop_due(now_ms)
            if node == NO_TIMER:
                return due
            slot = node // TIMERS
            if node % TIMERS == TIMER_PACE:
                self.strike(slot)
            else:
                due.append((self.delivery.slots.handle(slot), node % TIMERS))

    # for reports

    def busiest(self, top: int) -> list:
        """The (name, publications) of the channels published most since they are known; most first."""
        cdef uint32_t id
        return [(self.index.labels[id], publications)
                for publications, id in self.channels.busiest(top)]

    def facts(self, name: str) -> dict | None:
        """What is known of a channel: rule, seq, publications, subscribers; None if it is not known.

        Who is subscribed by a pattern as well counts twice.
        """
        cdef uint32_t id = self.known_channel(name)
        cdef channel_t* channel
        if id == NO_ID:
            return None
        channel = &self.channels.table[id]
        return {"rule": channel.rule, "seq": channel.seq,
                "publications": channel.publications, "subscribers": self.audience(id)}

    cdef dict uses(self):
        cdef dict found = Recovery.uses(self)
        cdef uint32_t at
        for at in range(self.pending.len):
            found[self.pending.ids[self.pending.head + at]] += 1
        return found

    @property
    def owes_publications(self) -> bool:
        """Whether there is anything for ``flush`` to do."""
        return self.pending.len > 0 or self.delivery.dirty.count > 0
