"""Delivery: what is owed becomes one write for each connection.

Owns: the slots, their outboxes, which are dirty, the round in progress. Never: closes a connection or
calls its owner: who has to go is put on the list that ``take_doomed`` empties after the round.
Invariant: a slot is dirty only while it has a connection that is not blocked; a blocked one becomes
dirty when its transport resumes.
Cost: a visit is one ``Sink.send`` and O(frames in it). A round visits dirty slots in slot order, the
order in which the kernel's sockets lie in memory, and may be cut into slices of some visits: what is
published meanwhile goes along if its slot is still ahead, else into the next round.
"""

cimport cython
from libc.string cimport memset

from wsgate.core.bitmap cimport (
    bitmap_clear,
    bitmap_free,
    bitmap_next,
    bitmap_reserve,
    bitmap_set,
    bitmap_test,
)
from wsgate.core.frame cimport frame_drop, frame_keep
from wsgate.core.memory cimport free_block, grown, resize_block
from wsgate.core.outbox cimport (
    CLOSING,
    OPEN,
    PAUSED,
    outbox_clear,
    outbox_free,
    outbox_gather,
    outbox_has_room,
    outbox_has_work,
    outbox_owes,
    outbox_push_control,
    outbox_push_event,
    outbox_take,
    outbox_wire,
)
from wsgate.core.sink cimport SINK_BROKEN, iovec

cdef extern from * nogil:
    void prefetch "__builtin_prefetch"(const void*)

cdef enum:
    WRITES_A_VISIT_MAX = 4          # then the next connection has its turn, unless replies or CLOSE are left
    LOOK_UP_VISITS = 64             # after so many a long round asks again whether something waits
    EVENTS_COUNT_LIMIT = 32768      # outbox_t counts in 16 bits
    GOLDEN_RATIO = 2654435769       # its fraction, times 2^32

SLOW = "slow_consumer"              # passed a limit that does not allow for a gap
BROKEN = "broken"                   # the sink says the connection is gone
CLOSED = "closed"                   # CLOSE has been written


@cython.no_gc_clear             # giving outboxes back needs the channels
cdef class Delivery:
    """All outboxes and the one way out of them.

    `sink`: where bytes go. `gap_message`: (rules mask) -> the payload that announces lost events.
    `compress` and `deflate_bytes_min`: see ``Deflater``; without, no connection gets deflated frames.
    Limits are per connection: `events_bytes_max` and `events_count_max` (at most 32768) for the
    events lane, `control_bytes_max` for replies.
    """

    def __init__(self, channels: Channels, counters: Counters, sink: Sink, gap_message, *,
                 events_bytes_max: int, events_count_max: int, control_bytes_max: int,
                 compress=None, deflate_bytes_min: int = 0):
        if not 0 < events_count_max <= EVENTS_COUNT_LIMIT:
            raise ValueError(
                f"events_count_max must be from 1 to {EVENTS_COUNT_LIMIT}, not {events_count_max}")
        self.channels = channels
        self.counters = counters
        self.sink = sink
        self.gap_message = gap_message
        self.deflater = Deflater(counters, compress, deflate_bytes_min)
        self.limits.events_bytes_max = events_bytes_max
        self.limits.events_count_max = events_count_max
        self.limits.control_bytes_max = control_bytes_max

    def __cinit__(self, *args, **kwargs):
        self.slots = Slots()
        self.doomed = []
        self.gap_frames = {}

    def __dealloc__(self):
        cdef uint32_t slot
        for slot in range(self.cap):
            if self.outboxes[slot].flags & OPEN:
                outbox_free(&self.outboxes[slot], self.channels)
        free_block(self.outboxes)
        bitmap_free(&self.dirty)
        bitmap_free(&self.urgent)

    # connections

    def open(self, window_bits: int = 0) -> int:
        """Take a slot for a new connection; returns its handle.

        `window_bits`, 8 to 15: the client inflates frames that refer back no farther than that.
        """
        if window_bits and (self.deflater.compress is None or not 8 <= window_bits <= 15):
            raise ValueError(f"no frames can be made for an inflate window of {window_bits} bits")
        cdef uint64_t handle = self.slots.acquire()
        cdef uint32_t slot = <uint32_t>handle
        cdef uint32_t cap
        if slot >= self.cap:
            cap = grown(self.cap, slot + 1, 64)
            self.outboxes = <outbox_t*>resize_block(self.outboxes, cap * sizeof(outbox_t))
            memset(self.outboxes + self.cap, 0, (cap - self.cap) * sizeof(outbox_t))
            bitmap_reserve(&self.dirty, cap)
            bitmap_reserve(&self.urgent, cap)
            self.cap = cap
        self.outboxes[slot].flags = OPEN
        self.outboxes[slot].window_bits = window_bits
        return handle

    def release(self, handle: int) -> bool:
        """The connection is gone: give up what it is owed and its slot. False if it was released."""
        cdef outbox_t* box = self.find(handle)
        cdef uint32_t slot = <uint32_t><uint64_t>handle
        if box == NULL:
            return False
        bitmap_clear(&self.dirty, slot)
        bitmap_clear(&self.urgent, slot)
        outbox_free(box, self.channels)
        self.slots.release(slot)
        return True

    cdef outbox_t* find(self, uint64_t handle) noexcept:
        """The outbox behind a handle, NULL if its connection is gone."""
        cdef int64_t slot = self.slots.resolve(handle)
        return NULL if slot < 0 else &self.outboxes[slot]

    def block(self, handle: int) -> None:
        """The transport holds something, or is paused: send nothing until ``resume``."""
        cdef outbox_t* box = self.find(handle)
        if box != NULL:
            box.flags |= BLOCKED
            bitmap_clear(&self.dirty, <uint32_t><uint64_t>handle)
            bitmap_clear(&self.urgent, <uint32_t><uint64_t>handle)

    def resume(self, handle: int) -> None:
        """The transport is empty again."""
        cdef outbox_t* box = self.find(handle)
        if box != NULL:
            box.flags &= ~BLOCKED
            if outbox_has_work(box) and not box.flags & DOOMED:
                bitmap_set(&self.dirty, <uint32_t><uint64_t>handle)
            if box.control != NULL:
                self.hurry(handle)

    def pause(self, handle: int) -> None:
        """The client wants no publications for now: they wait, as for one that reads slowly."""
        cdef outbox_t* box = self.find(handle)
        if box != NULL and not box.flags & CLOSING:
            box.flags |= PAUSED
            if box.control == NULL:
                bitmap_clear(&self.dirty, <uint32_t><uint64_t>handle)
                bitmap_clear(&self.urgent, <uint32_t><uint64_t>handle)

    def unpause(self, handle: int) -> None:
        """It wants them again, and what has waited."""
        cdef outbox_t* box = self.find(handle)
        if box != NULL:
            box.flags &= ~PAUSED
            if outbox_owes(box):
                self.mark(<uint32_t><uint64_t>handle, box)

    def is_blocked(self, handle: int) -> bool:
        """Whether the connection waits for its transport."""
        cdef outbox_t* box = self.find(handle)
        return box != NULL and (box.flags & BLOCKED) != 0

    # the control lane

    cdef int push_control(self, uint32_t slot, Frame frame) except -1:
        cdef outbox_t* box = &self.outboxes[slot]
        if box.flags & (CLOSING | DOOMED):
            return 0
        if not outbox_push_control(box, frame.raw, self.limits.control_bytes_max):
            return self.doom(slot, SLOW)
        if not box.flags & BLOCKED:
            bitmap_set(&self.dirty, slot)       # also if it is paused
        return 0

    def reply(self, handle: int, frame: Frame) -> None:
        """Owe `frame` at the end of the tick, before everything else that is owed."""
        cdef outbox_t* box = self.find(handle)
        cdef uint32_t slot = <uint32_t><uint64_t>handle
        if box != NULL:
            self.push_control(slot, frame)
            self.hurry_slot(slot)

    def hurry(self, handle: int) -> None:
        """Let what is owed to this connection leave at the end of the tick, whatever the window."""
        if self.find(handle) != NULL:
            self.hurry_slot(<uint32_t><uint64_t>handle)

    cdef void hurry_slot(self, uint32_t slot) noexcept nogil:
        if bitmap_test(&self.dirty, slot):
            bitmap_set(&self.urgent, slot)

    def tell_all(self, frame: Frame) -> None:
        """Owe the control-lane `frame` to every connection, at the end of the tick."""
        cdef uint32_t slot
        for slot in range(self.slots.limit):
            if self.outboxes[slot].flags & OPEN:
                self.push_control(slot, frame)
                self.hurry_slot(slot)

    def announce_gap(self, frame: Frame, rules_mask: int) -> None:
        """Owe every connection the gap `frame`, in its place among the events.

        A connection whose events lane is full is told by the gap that it is owed anyway.
        """
        cdef uint32_t slot
        cdef outbox_t* box
        for slot in range(self.slots.limit):
            box = &self.outboxes[slot]
            if not box.flags & OPEN or box.flags & (CLOSING | DOOMED):
                continue
            if box.gapped or not outbox_has_room(box, frame.raw.size, &self.limits):
                box.gapped |= <uint64_t>rules_mask
            else:
                frame_keep(frame.raw, 1)
                outbox_push_event(box, frame.raw)
                self.counters.totals.gaps += 1
            self.mark(slot, box)

    def end(self, handle: int, frame: Frame, flush_owed: bool) -> None:
        """Owe the CLOSE `frame`, after everything owed, or in its place; nothing is taken after it."""
        cdef outbox_t* box = self.find(handle)
        cdef uint32_t slot = <uint32_t><uint64_t>handle
        if box == NULL or box.flags & (CLOSING | DOOMED):
            return
        if not flush_owed:
            outbox_clear(box, self.channels)
        outbox_push_control(box, frame.raw, self.limits.control_bytes_max)
        box.flags = (box.flags | CLOSING) & ~PAUSED
        self.mark(slot, box)
        self.hurry_slot(slot)

    # what cannot be delivered

    cdef int miss(self, uint32_t slot, uint64_t rule_bits, bint closes) except -1:
        """An event does not fit: note the gap in its place, or give the connection up."""
        cdef outbox_t* box = &self.outboxes[slot]
        if closes:
            self.counters.totals.dropped_close += 1
            return self.doom(slot, SLOW)
        self.counters.totals.dropped_gap += 1
        box.gapped |= rule_bits
        self.mark(slot, box)
        return 0

    cdef int lose(self, uint32_t slot, uint64_t rule_bits) except -1:
        """An event is not to be sent, though there may be room: the gap goes there, one for all in a row."""
        cdef outbox_t* box = &self.outboxes[slot]
        cdef frame_t* gap = self.gap_frame(rule_bits).raw
        self.counters.totals.dropped_rate += 1
        if box.gapped or not outbox_has_room(box, gap.size, &self.limits):
            box.gapped |= rule_bits
        elif box.len == 0 or box.ring[(box.head + box.len - 1) & (box.cap - 1)] != gap:
            frame_keep(gap, 1)
            outbox_push_event(box, gap)
            self.counters.totals.gaps += 1
        self.mark(slot, box)
        return 0

    cdef Frame gap_frame(self, uint64_t rules_mask):
        cdef Frame frame = self.gap_frames.get(rules_mask)
        if frame is None:
            if len(self.gap_frames) > 1024:
                self.gap_frames.clear()
            frame = Frame.text(self.gap_message(rules_mask))
            self.gap_frames[rules_mask] = frame
        return frame

    cdef int write_gap(self, outbox_t* box) except -1:
        """Put the gap that is owed behind the newest event. Not bound by the limits: it is one frame."""
        cdef Frame frame = self.gap_frame(box.gapped)
        if box.len == EVENTS_COUNT_LIMIT:
            return 0                        # its turn comes after the next write
        frame_keep(frame.raw, 1)
        outbox_push_event(box, frame.raw)
        box.gapped = 0
        self.counters.totals.gaps += 1
        return 0

    cdef int doom(self, uint32_t slot, str reason) except -1:
        """Put the connection on the list of those that their owner must end."""
        cdef outbox_t* box = &self.outboxes[slot]
        if not box.flags & DOOMED:
            box.flags |= DOOMED
            self.doomed.append((self.slots.handle(slot), reason))
        bitmap_clear(&self.dirty, slot)
        bitmap_clear(&self.urgent, slot)
        return 0

    def take_doomed(self) -> list:
        """The (handle, reason) of connections to end, once each: SLOW, BROKEN or CLOSED."""
        doomed = self.doomed
        if doomed:
            self.doomed = []
        return doomed

    def pardon(self, handle: int) -> None:
        """A doomed connection is to be ended with a CLOSE of its own: drop the rest, take that."""
        cdef outbox_t* box = self.find(handle)
        if box != NULL:
            outbox_clear(box, self.channels)
            box.flags &= ~DOOMED

    # writing

    cdef int cut(self, uint32_t slot, outbox_t* box, frame_t* frame, size_t sent) except -1:
        """`frame` was cut after `sent` bytes: the sink takes its rest, and nothing more; 1 if it did."""
        cdef int held = self.sink.carry(slot, frame.data + sent, frame.size - sent)
        self.counters.totals.blocked += 1
        if held == SINK_BROKEN:
            self.doom(slot, BROKEN)
            return 0
        self.counters.totals.written_bytes += frame.size - sent
        if held:
            box.flags |= BLOCKED
        return 1

    cdef int write_single(self, uint32_t slot, outbox_t* box) except -1:
        """The common case: one event is owed and nothing else."""
        cdef frame_t* frame = box.ring[box.head]
        cdef frame_t* wire = outbox_wire(box, frame, self.deflater)
        cdef iovec part
        cdef Py_ssize_t sent
        part.iov_base = wire.data
        part.iov_len = wire.size
        sent = self.sink.send(slot, &part, 1)
        self.counters.totals.writes += 1
        if sent < 0:
            return self.doom(slot, BROKEN)
        self.counters.totals.written_bytes += sent
        if <size_t>sent == wire.size or self.cut(slot, box, wire, sent):
            self.counters.by_rule[frame.rule].deliveries += 1
        box.len = 0
        box.head = 0
        box.bytes = 0
        frame_drop(frame)
        return 0

    cdef int write_batch(self, uint32_t slot, outbox_t* box) except -1:
        """Write as much as goes into one batch."""
        cdef batch_t* batch = &self.batch
        cdef Py_ssize_t sent
        cdef size_t left
        cdef uint32_t whole = 0             # left the outbox
        cdef uint32_t delivered             # of those: not lost on the way out
        cdef uint32_t at
        outbox_gather(box, batch, self.channels, self.deflater)
        sent = self.sink.send(slot, batch.parts, batch.count)
        self.counters.totals.writes += 1
        if sent < 0:
            return self.doom(slot, BROKEN)
        self.counters.totals.written_bytes += sent
        left = sent
        if left == batch.bytes:
            whole = batch.count
            delivered = whole
        else:
            while left >= batch.frames[whole].size:
                left -= batch.frames[whole].size
                whole += 1
            delivered = whole + self.cut(slot, box, batch.frames[whole], left)
            whole += 1
        for at in range(delivered):
            self.counters.by_rule[batch.frames[at].rule].deliveries += 1
        self.counters.totals.replies += min(delivered, batch.control)
        if outbox_take(box, batch, whole, self.channels):
            self.doom(slot, CLOSED)
        return 0

    cdef int visit(self, uint32_t slot) except -1:
        """Write what `slot` is owed: in one write, unless it is very much."""
        cdef outbox_t* box = &self.outboxes[slot]
        cdef int writes = 0
        while outbox_has_work(box) and not box.flags & (BLOCKED | DOOMED):
            if writes >= WRITES_A_VISIT_MAX and box.control == NULL:
                self.mark(slot, box)
                return 0
            writes += 1
            if box.gapped and not box.flags & PAUSED:
                self.write_gap(box)
            if box.len == 1 and box.owed.len == 0 and box.control == NULL:
                self.write_single(slot, box)
            else:
                self.write_batch(slot, box)
        return 0

    cdef void warm_up(self, uint32_t slot, uint32_t end) noexcept nogil:
        """Fetch what the next two visits will read: each send leaves the caches full of the kernel's."""
        slot = bitmap_next(&self.dirty, slot, end)
        if slot == end:
            return
        prefetch(self.outboxes[slot].ring)
        slot = bitmap_next(&self.dirty, slot + 1, end)
        if slot < end:
            prefetch(&self.outboxes[slot])

    cdef bint flush_round(self, uint32_t visits, uint32_t more) except -1:
        """Go on with the round, or begin one; True while it is unfinished.

        It stops after `visits`, or goes on for `more` as long as nothing else is waiting.
        """
        cdef round_t* round = &self.round
        cdef uint32_t end, slot
        if not round.active:
            if self.dirty.count == 0:
                return False
            round.turn += GOLDEN_RATIO
            round.start = <uint32_t>((<uint64_t>round.turn * self.slots.limit) >> 32)
            round.at = round.start
            round.wrapped = False
            round.active = True
        while True:
            if visits == 0:
                if more == 0 or self.sink.awaited():
                    return True
                visits = min(more, LOOK_UP_VISITS)
                more -= visits
            end = round.start if round.wrapped else self.slots.limit
            slot = bitmap_next(&self.dirty, round.at, end)
            if slot < end:
                bitmap_clear(&self.dirty, slot)
                bitmap_clear(&self.urgent, slot)
                round.at = slot + 1
                self.warm_up(round.at, end)
                self.visit(slot)
                self.visited += 1
                visits -= 1
            elif round.wrapped:
                round.active = False
                return False
            else:
                round.wrapped = True
                round.at = 0

    def flush_urgent(self, visits: int) -> bool:
        """Visit connections that are owed replies, at most `visits`; True while some are left."""
        cdef uint32_t slot
        cdef uint32_t left = visits
        while left and self.urgent.count:
            slot = bitmap_next(&self.urgent, self.urgent_at, self.slots.limit)
            if slot == self.slots.limit:
                self.urgent_at = 0
                continue
            self.urgent_at = slot + 1       # goes on there: who asks all the time does not come first
            bitmap_clear(&self.urgent, slot)
            bitmap_clear(&self.dirty, slot)
            self.visit(slot)
            left -= 1
        return self.urgent.count > 0

    # reports

    @property
    def dirty_count(self) -> int:
        """Connections that are owed something and may be written to."""
        return self.dirty.count

    @property
    def urgent_count(self) -> int:
        """Of those: how many are owed a reply."""
        return self.urgent.count

    def owed(self, handle: int) -> dict | None:
        """What a connection is owed, by lane; None if it is gone."""
        cdef outbox_t* box = self.find(handle)
        if box == NULL:
            return None
        return {
            "control": box.control.len if box.control != NULL else 0,
            "control_bytes": box.control.bytes if box.control != NULL else 0,
            "events": box.len,
            "events_bytes": box.bytes,
            "states": box.owed.len,
            "blocked": bool(box.flags & BLOCKED),
            "paused": bool(box.flags & PAUSED),
            "gapped": box.gapped,
        }

    def backlog(self) -> dict:
        """The sum over all connections; O(slots), for a scrape."""
        cdef uint32_t slot
        cdef outbox_t* box
        total_bytes = total_events = total_states = blocked = paused = 0
        for slot in range(self.slots.limit):
            box = &self.outboxes[slot]
            if box.flags & OPEN:
                total_bytes += box.bytes
                total_events += box.len
                total_states += box.owed.len
                blocked += (box.flags & BLOCKED) != 0
                paused += (box.flags & PAUSED) != 0
        return {"events_bytes": total_bytes, "events": total_events, "states": total_states,
                "blocked_connections": blocked, "paused_connections": paused}

    def check(self) -> None:
        """Assert the invariant over everything; O(all that is owed)."""
        cdef uint32_t slot, at
        cdef outbox_t* box
        dirty = urgent = 0
        for slot in range(self.slots.limit):
            box = &self.outboxes[slot]
            dirty += bitmap_test(&self.dirty, slot)
            urgent += bitmap_test(&self.urgent, slot)
            if not box.flags & OPEN:
                assert not outbox_owes(box) and not bitmap_test(&self.dirty, slot)
                continue
            if box.flags & (BLOCKED | DOOMED):
                assert not bitmap_test(&self.dirty, slot)
            elif outbox_has_work(box):
                assert bitmap_test(&self.dirty, slot), f"slot {slot} is owed and forgotten"
            assert sum(box.ring[(box.head + at) & (box.cap - 1)].size
                       for at in range(box.len)) == box.bytes
        assert dirty == self.dirty.count and urgent == self.urgent.count
