"""Delivery: what is owed becomes one write for each connection.

Owns: the round in progress, and the gaps that are announced.
Cost: a visit is one ``Sink.send`` and O(frames in it). A round visits dirty slots in slot order, the
order in which the kernel's sockets lie in memory, and may be cut into slices of some visits: what is
published meanwhile goes along if its slot is still ahead, else into the next round.
"""

from wsgate.core.bitmap cimport bitmap_clear, bitmap_next
from wsgate.core.frame cimport frame_drop, frame_keep
from wsgate.core.holdings cimport holdings_t
from wsgate.core.index cimport Index
from wsgate.core.outbox cimport (
    CLOSING,
    DELTA,
    OPEN,
    outbox_gather,
    outbox_has_room,
    outbox_has_work,
    outbox_push_event,
    outbox_take,
    outbox_wire,
)
from wsgate.core.sink cimport SINK_BROKEN, iovec

from wsgate.core.outboxes import BROKEN as _BROKEN
from wsgate.core.outboxes import CLOSED as _CLOSED
from wsgate.core.outboxes import SLOW as _SLOW

cdef extern from * nogil:
    void prefetch "__builtin_prefetch"(const void*)

cdef enum:
    WRITES_A_VISIT_MAX = 4          # then the next connection has its turn, unless replies or CLOSE are left
    LOOK_UP_VISITS = 64             # after so many a long round asks again whether something waits
    RING_FULL = 32768               # outbox_t counts in 16 bits
    GOLDEN_RATIO = 2654435769       # its fraction, times 2^32


cdef class Delivery(Outboxes):
    """All outboxes and the one way out of them.

    `sink`: where bytes go. `gap_message`: (rules mask) -> the payload that announces lost events.
    """

    def __init__(self, channels: Channels, counters: Counters, sink: Sink, gap_message, **limits):
        Outboxes.__init__(self, channels, counters, **limits)
        self.sink = sink
        self.gap_message = gap_message
        self.gap_frames = {}

    # what cannot be delivered

    cdef int miss(self, uint32_t slot, uint64_t rule_bits, bint closes) except -1:
        """An event does not fit: note the gap in its place, or give the connection up."""
        cdef outbox_t* box = &self.outboxes[slot]
        if closes:
            self.counters.totals.dropped_close += 1
            return self.doom(slot, _SLOW)
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
        if box.len == RING_FULL:
            return 0                        # its turn comes after the next write
        frame_keep(frame.raw, 1)
        outbox_push_event(box, frame.raw)
        box.gapped = 0
        self.counters.totals.gaps += 1
        return 0

    def announce_gap(self, frame: Frame, rules_mask: int, Index subscribed=None) -> None:
        """Owe every connection the gap `frame`, in its place among the events.

        `subscribed`: only those that are subscribed to something there. A connection whose events lane
        is full is told by the gap that it is owed anyway.
        """
        cdef uint32_t slot
        cdef outbox_t* box
        for slot in range(self.slots.limit):
            box = &self.outboxes[slot]
            if not box.flags & OPEN or box.flags & (CLOSING | DOOMED):
                continue
            if subscribed is not None and not subscribed.holds_any(slot):
                continue
            if box.gapped or not outbox_has_room(box, frame.raw.size, &self.limits):
                box.gapped |= <uint64_t>rules_mask
            else:
                frame_keep(frame.raw, 1)
                outbox_push_event(box, frame.raw)
                self.counters.totals.gaps += 1
            self.mark(slot, box)

    # writing

    cdef int cut(self, uint32_t slot, outbox_t* box, frame_t* frame, size_t sent) except -1:
        """`frame` was cut after `sent` bytes: the sink takes its rest, and nothing more; 1 if it did."""
        cdef int held = self.sink.carry(slot, frame.data + sent, frame.size - sent)
        self.counters.totals.blocked += 1
        if held == SINK_BROKEN:
            self.doom(slot, _BROKEN)
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
            return self.doom(slot, _BROKEN)
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
        cdef holdings_t** holdings = &self.holdings[slot] if box.flags & DELTA else NULL
        outbox_gather(box, batch, self.channels, self.deflater, self.encoder, holdings)
        sent = self.sink.send(slot, batch.parts, batch.count)
        self.counters.totals.writes += 1
        if sent < 0:
            return self.doom(slot, _BROKEN)
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
        if outbox_take(box, batch, whole, self.channels, holdings):
            self.doom(slot, _CLOSED)
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
            if box.len == 1 and box.owed.len == 0 and box.control == NULL and not box.flags & DELTA:
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
        if self.holdings != NULL:
            prefetch(self.holdings[slot])
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
