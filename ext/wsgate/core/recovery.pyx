"""Recovery: a client that was cut off gets what it missed, whole, or is told that it cannot.

Owns: the history of events; which connections know more of a channel than the gateway does.
Never: a part of what is missing, a repeat, a value older than the client has. Positions of another epoch
are never compared.
What a source lost on its way here is a position in its epoch, before which nothing is whole.
Invariant: a silence is of a channel that the connection is subscribed to.
Cost: O(events kept of the channel) for each that is asked for; publishing looks for silences only on
channels that have any.

Gateways do not hear of everything at the same time. One that is behind the client's position is silent on
that channel until it has passed it::

    client   ... 40 41 42                     has 42
    gateway  ... 40 41          42 43         sends 43
"""

from wsgate.core.channel cimport EVENT, channel_t
from wsgate.core.channel cimport OWN_EPOCH as _OWN_EPOCH
from wsgate.core.frame cimport frame_keep, frame_publication, frame_t
from wsgate.core.history cimport event_t
from wsgate.core.index cimport NO_ID
from wsgate.core.outbox cimport CLOSING, DOOMED, outbox_push_event, outbox_t
from wsgate.core.roster cimport Roster


OWN_EPOCH = _OWN_EPOCH          # the gateway counts by itself


cdef uint64_t _reached(uint64_t after, earlier) except? 0:
    """How far a client is that was at `after` and gets `earlier`, (seq, payload) in order."""
    return max(after, <uint64_t>earlier[len(earlier) - 1][0]) if earlier else after


cdef class Recovery(Roster):
    """`history`: what is kept of each rule's events, see ``History``; None: nothing.

    `epoch`: how the gateway calls its own counting.
    """

    def __init__(self, sink, rules, gap_message, *, history=None, epoch: str = "", **limits):
        Roster.__init__(self, sink, rules, gap_message, **limits)
        self.channels.epoch_names[0] = epoch
        self.history = History([(0, 0, 0)] * len(rules) if history is None else history)
        self.silences = {}

    # where a channel stands

    def open_epoch(self, name: str, floor: int = 0) -> int:
        """The id of a source's epoch: its publications above `floor` will all be told."""
        return self.channels.open_epoch(name, floor)

    def lose_up_to(self, epoch: int, seq: int) -> None:
        """Of what a source counted in the epoch, up to `seq`, some may never have come.

        Positions before that are of no use here any more, unless the origin has what is missing.
        """
        self.channels.lose_up_to(epoch, seq)

    def renew_own_epoch(self, name: str) -> None:
        """Some of what the gateway counts by itself may never have come: it counts anew, as `name`."""
        self.channels.epoch_names[0] = name
        self.renew_epoch(_OWN_EPOCH, _OWN_EPOCH)

    def horizon(self, name: str) -> int:
        """What lies up to here of a channel that is known only the origin can tell."""
        return self.channels.epochs[self.channels.table[self.known_channel(name)].epoch].floor

    def epoch_of(self, name: str) -> str:
        """The epoch of a channel that is known."""
        return self.channels.epoch_names[self.channels.table[self.known_channel(name)].epoch]

    def position_of(self, name: str) -> dict:
        """The position of a channel: {"epoch", "seq"}; empty if it is not known."""
        cdef uint32_t id = self.known_channel(name)
        if id == NO_ID:
            return {}
        return {"epoch": self.epoch_of(name), "seq": self.stands_at(&self.channels.table[id])}

    cdef uint64_t stands_at(self, channel_t* channel) noexcept nogil:
        """Who is here has all there is, or is told by the next publication that it has not."""
        return channel.seq if channel.kind != EVENT else max(channel.seq, self.channels.lost(channel))

    def renew_epoch(self, ended: int, epoch: int) -> None:
        """The source counts anew: nothing is known of event channels that were counted in `ended`.

        A state channel has its value until the next one comes, which moves it. O(channels).
        """
        cdef uint32_t id
        cdef channel_t* channel
        for id in range(self.channels.cap):
            channel = &self.channels.table[id]
            if channel.known and channel.kind == EVENT and channel.epoch == <uint32_t>ended:
                self.move_to(id, epoch)

    def is_covered(self, handle: int, name: str) -> bool:
        """Whether the connection gets what is published on a channel, by its name or a pattern."""
        cdef uint32_t id = self.known_channel(name)
        cdef uint32_t slot = self.slot_of(handle)
        return id != NO_ID and self.index.covers(slot, id)

    cdef int move_to(self, uint32_t id, uint32_t epoch) except -1:
        """The channel is counted in another epoch: what clients know of it is of no use any more."""
        self.end_silences_on(id)
        self.history.forget(id)
        return self.channels.move(id, epoch)

    cdef int forget_channel(self, uint32_t id) except -1:
        self.end_silences_on(id)
        self.history.forget(id)
        return Roster.forget_channel(self, id)

    # what is asked for

    def lacks(self, name: str, epoch: str, after: int) -> bool:
        """Whether only the origin can tell what came on an event channel after a position.

        That is so if the position is of the channel's epoch, and something is missing before what is
        kept here.
        """
        cdef uint32_t id = self.known_channel(name)
        cdef channel_t* channel
        if id == NO_ID:
            return False
        channel = &self.channels.table[id]
        if channel.kind != EVENT or channel.epoch == _OWN_EPOCH:
            return False
        if self.channels.epoch_names[channel.epoch] != epoch:
            return False
        return <uint64_t>after < self.stands_at(channel) and not self.is_whole(id, after)

    def catch_up(
        self, handle: int, name: str, epoch: str, after: int, earlier=(), proven: int = 0
    ) -> bool:
        """Owe a new subscriber of a channel what it missed after a position; whether that is all.

        `earlier`: what the origin has of it, (seq, payload) in order, and all of it up to `proven` at
        least. If it is not all, or more than may be owed, an event channel owes nothing of it; a state
        channel its latest value in any case.
        """
        cdef uint32_t slot = self.slot_of(handle)
        cdef uint32_t id = self.known_channel(name)
        cdef channel_t* channel
        if id == NO_ID:
            return False
        channel = &self.channels.table[id]
        if self.channels.epoch_names[channel.epoch] != epoch:
            return False
        if channel.kind != EVENT:
            return self.catch_up_state(slot, id, after)
        if <uint64_t>after > self.stands_at(channel):
            self.silence(slot, id, after)
            return True
        if not self.is_whole(id, max(_reached(after, earlier), <uint64_t>proven)):
            return False
        if not self.replay(slot, id, after, list(earlier)):
            return False
        if _reached(after, earlier) > channel.seq:      # the origin told what is still on its way here
            self.silence(slot, id, _reached(after, earlier))
        return True

    cdef bint catch_up_state(self, uint32_t slot, uint32_t id, uint64_t after) except -1:
        """The latest value is owed by now: it is not, unless it is newer than what the client has."""
        cdef channel_t* channel = &self.channels.table[id]
        if after >= channel.seq:
            self.disown(slot, id)
        if after > channel.seq:
            self.silence(slot, id, after)
        return True

    cdef bint is_whole(self, uint32_t id, uint64_t reached) except -1:
        """Whether nothing is missing after a position, through history to the newest."""
        cdef channel_t* channel = &self.channels.table[id]
        cdef event_t* event
        if reached < self.channels.lost(channel):
            return False
        if not channel.published:
            return reached >= self.channels.epochs[channel.epoch].floor
        event = self.history.first_after(id, reached)
        while event != NULL:
            if event.since > reached:
                return False
            reached = event.seq
            event = event.next
        return reached >= channel.seq

    cdef bint replay(self, uint32_t slot, uint32_t id, uint64_t after, list earlier) except -1:
        """Put what was missed into the events lane, if there is room for all of it."""
        cdef channel_t* channel = &self.channels.table[id]
        cdef outbox_t* box = &self.delivery.outboxes[slot]
        cdef uint64_t prev = after
        cdef uint64_t size = sum([len(payload) + 512 for _, payload in earlier])
        cdef uint64_t count = len(earlier)
        cdef event_t* first = self.history.first_after(id, _reached(after, earlier))
        cdef event_t* event = first
        cdef frame_t* frame
        if box.flags & (CLOSING | DOOMED):
            return True
        while event != NULL:
            size += event.frame.size
            count += 1
            event = event.next
        if (box.gapped or box.len + count > self.delivery.limits.events_count_max
                or box.bytes + size > self.delivery.limits.events_bytes_max):
            return False
        for seq, payload in earlier:
            if <uint64_t>seq <= after:
                continue
            frame = frame_publication(
                self.channels.heads[id], channel.name_size, channel.rule, seq, prev, payload)
            outbox_push_event(box, frame)
            prev = seq
        event = first
        while event != NULL:
            frame_keep(event.frame, 1)
            outbox_push_event(box, event.frame)
            event = event.next
        if count:
            self.delivery.mark(slot, box)
        return True

    # silences

    cdef int silence(self, uint32_t slot, uint32_t id, uint64_t until) except -1:
        """Nothing of the channel is sent to the connection before it has passed `until`."""
        self.end_silence(slot, id)
        self.silences.setdefault(slot, {})[id] = until
        self.channels.table[id].silences += 1
        return 0

    cdef bint is_silent(self, uint32_t slot, uint32_t id) except -1:
        """Whether what the channel has now is nothing new to the connection; ends a silence that is over."""
        cdef dict of_slot = self.silences.get(slot)
        if of_slot is None:
            return False
        until = of_slot.get(id)
        if until is None:
            return False
        if self.channels.table[id].seq <= <uint64_t>until:
            return True
        self.end_silence(slot, id)
        return False

    cdef int end_silence(self, uint32_t slot, uint32_t id) except -1:
        cdef dict of_slot = self.silences.get(slot)
        if of_slot is not None and of_slot.pop(id, None) is not None:
            self.channels.table[id].silences -= 1
            if not of_slot:
                del self.silences[slot]
        return 0

    cdef int end_silences_on(self, uint32_t id) except -1:
        if self.channels.table[id].silences:
            for slot in [slot for slot, of_slot in self.silences.items() if id in of_slot]:
                self.end_silence(slot, id)
        return 0

    def release(self, handle: int) -> bool:
        """As ``Roster`` does it."""
        cdef uint32_t slot = <uint32_t><uint64_t>handle
        if self.delivery.find(handle) != NULL:
            for id in list(self.silences.get(slot, ())):
                self.end_silence(slot, id)
        return Roster.release(self, handle)

    def unsubscribe(self, handle: int, name: str) -> bool:
        """As ``Roster`` does it."""
        cdef uint32_t slot = <uint32_t><uint64_t>handle
        ended = Roster.unsubscribe(self, handle, name)
        if ended:
            for id in list(self.silences.get(slot, ())):
                if not self.index.covers(slot, id):
                    self.end_silence(slot, id)
        return ended

    def check(self) -> None:
        """Assert every invariant of the core; O(everything)."""
        cdef uint32_t id
        Roster.check(self)
        self.history.check()
        counts = {}
        for slot, of_slot in self.silences.items():
            assert of_slot
            for id in of_slot:
                assert self.index.covers(slot, id)
                counts[id] = counts.get(id, 0) + 1
        for id in range(self.channels.cap):
            assert self.channels.table[id].silences == counts.get(id, 0)
