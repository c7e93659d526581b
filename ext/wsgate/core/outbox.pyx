"""The outbox: what one connection is still owed, in bounded memory.

Owns: a reference to every frame queued in it, a use of every channel in its state lane.

    control   [ subscribed | pong ]  + close     replies; byte limit; newest feed, few pongs
    events    [ f41 | f42 | f43 ]  + gapped      ring; past the limit, which rules lost something
    state     { 7, 12 }                          channels; the frame is looked up when it is written

They leave in that order, CLOSE after all of them. Never: writes (fan-out does), decides what to do
when a limit is passed.
Invariant: ``bytes`` is the sum over the ring; what stands in a lane is whole: a frame that was cut
while being written has left the outbox, its rest is the sink's.
Cost: push O(1), take O(frames taken), purge O(owed + purged x own subscriptions), only on
unsubscribing.
"""

from libc.string cimport memmove

from wsgate.core.frame cimport CLOSE, PLAIN, PONG, frame_drop, frame_keep
from wsgate.core.idset cimport idset_at, idset_contains, idset_discard_all, idset_free, idset_take
from wsgate.core.memory cimport free_block, grown, resize_block
from wsgate.core.pattern cimport pattern_matches

cdef enum:
    RING_LEAST = 8              # 64 bytes: a quiet connection's ring
    RING_KEPT = 64              # larger ones are given back when empty
    OWED_KEPT = 64
    PONGS_MAX = 16              # owed at once; then the newest takes the place of the one before it


# control

cdef int _replace(control_t* control, frame_t* frame, uint32_t most) noexcept:
    """Put `frame` in the place of the newest with its role, if `most` are owed already; else 0."""
    cdef uint32_t found = 0
    cdef uint32_t newest = 0
    cdef uint32_t at
    cdef frame_t* old
    for at in range(control.len):
        if control.frames[at].role == frame.role:
            found += 1
            newest = at
    if found < most:
        return 0
    old = control.frames[newest]
    control.bytes += frame.size - old.size
    frame_keep(frame, 1)
    control.frames[newest] = frame
    frame_drop(old)
    return 1


cdef int outbox_push_control(outbox_t* self, frame_t* frame, uint32_t bytes_max) except -1:
    """Queue a reply (or CLOSE); takes a reference of its own. 0: no room for it."""
    cdef control_t* control = self.control
    cdef uint32_t cap
    cdef bint room
    if control == NULL:
        control = <control_t*>resize_block(NULL, sizeof(control_t))
        control.frames = NULL
        control.len = 0
        control.cap = 0
        control.bytes = 0
        control.close = NULL
        self.control = control
    if frame.role == CLOSE:
        if control.close == NULL:
            frame_keep(frame, 1)
            control.close = frame
        return 1
    room = control.bytes + frame.size <= bytes_max
    if (frame.role != PLAIN
            and _replace(control, frame, PONGS_MAX if frame.role == PONG and room else 1)):
        return 1
    if not room:
        return 0
    if control.len == control.cap:
        cap = grown(control.cap, control.len + 1, 4)
        control.frames = <frame_t**>resize_block(control.frames, cap * sizeof(frame_t*))
        control.cap = cap
    frame_keep(frame, 1)
    control.frames[control.len] = frame
    control.len += 1
    control.bytes += frame.size
    return 1


cdef void _take_control(outbox_t* self, uint32_t count) noexcept:
    cdef control_t* control = self.control
    cdef uint32_t at
    for at in range(count):
        control.bytes -= control.frames[at].size
        frame_drop(control.frames[at])
    control.len -= count
    if control.len == 0 and control.close == NULL:
        free_block(control.frames)
        free_block(control)
        self.control = NULL
    elif control.len:
        memmove(control.frames, control.frames + count, control.len * sizeof(frame_t*))


# events

cdef int outbox_push_event(outbox_t* self, frame_t* frame) except -1:
    """Append to the events lane; the caller hands over one of its references."""
    cdef frame_t** ring
    cdef uint32_t cap, at
    if self.len == self.cap:
        cap = grown(self.cap, self.len + 1, RING_LEAST)
        ring = <frame_t**>resize_block(NULL, cap * sizeof(frame_t*))
        for at in range(self.len):
            ring[at] = self.ring[(self.head + at) & (self.cap - 1)]
        free_block(self.ring)
        self.ring = ring
        self.head = 0
        self.cap = <uint16_t>cap
    self.ring[(self.head + self.len) & (self.cap - 1)] = frame
    self.len += 1
    self.bytes += frame.size
    return 0


cdef void _take_events(outbox_t* self, uint32_t count) noexcept:
    cdef frame_t* frame
    cdef uint32_t at
    for at in range(count):
        frame = self.ring[(self.head + at) & (self.cap - 1)]
        self.bytes -= frame.size
        frame_drop(frame)
    self.head = <uint16_t>((self.head + count) & (self.cap - 1)) if self.cap else 0
    self.len -= count
    if self.len == 0:
        self.head = 0
        if self.cap > RING_KEPT:
            free_block(self.ring)
            self.ring = NULL
            self.cap = 0


# state

cdef void _take_states(outbox_t* self, uint32_t count, Channels channels) noexcept:
    cdef uint32_t at
    for at in range(count):
        channels.unuse(idset_at(&self.owed, at), 1)
    idset_take(&self.owed, count)
    if self.owed.len == 0 and self.owed.cap > OWED_KEPT:
        idset_free(&self.owed)


# one write

cdef inline bint _fits(const batch_t* batch) noexcept nogil:
    return batch.count < BATCH_FRAMES_MAX and batch.bytes < BATCH_BYTES_MAX


cdef inline void _add(batch_t* batch, frame_t* frame) noexcept nogil:
    batch.parts[batch.count].iov_base = frame.data
    batch.parts[batch.count].iov_len = frame.size
    batch.frames[batch.count] = frame
    batch.bytes += frame.size
    batch.count += 1


cdef int outbox_gather(
    outbox_t* self, batch_t* batch, Channels channels, Deflater deflater
) except -1:
    """Fill `batch` with what is owed first; what nobody had yet in this form is encoded here."""
    cdef control_t* control = self.control
    cdef uint32_t at = 0
    batch.count = 0
    batch.bytes = 0
    if control != NULL:
        while at < control.len and _fits(batch):
            _add(batch, control.frames[at])
            at += 1
    batch.control = at
    batch.events = 0
    batch.states = 0
    if self.flags & PAUSED:
        return 0
    at = 0
    while at < self.len and _fits(batch):
        _add(batch, outbox_wire(self, self.ring[(self.head + at) & (self.cap - 1)], deflater))
        at += 1
    batch.events = at
    at = 0
    while at < self.owed.len and _fits(batch):
        _add(batch, outbox_wire(self, channels.latest(idset_at(&self.owed, at)), deflater))
        at += 1
    batch.states = at
    if (control != NULL and control.close != NULL and _fits(batch)
            and batch.control == control.len and batch.events == self.len
            and batch.states == self.owed.len):
        _add(batch, control.close)
    return 0


cdef int outbox_take(
    outbox_t* self, const batch_t* batch, uint32_t count, Channels channels
) except -1:
    """The first `count` frames of `batch` have left: give them up. 1 if CLOSE was among them."""
    cdef uint32_t control = min(count, batch.control)
    cdef uint32_t events = min(count - control, batch.events)
    cdef uint32_t states = min(count - control - events, batch.states)
    cdef bint closed = count > control + events + states
    if closed:
        frame_drop(self.control.close)
        self.control.close = NULL
    if control or closed:
        _take_control(self, control)
    if events:
        _take_events(self, events)
    if states:
        _take_states(self, states, channels)
    return closed


# giving up what is owed

cdef int outbox_purge_events(outbox_t* self, uint32_t slot, bytes ended, Index index) except -1:
    """Give up the events that the subscription `ended` asked for and no other of `slot`; how many."""
    cdef const char* pattern = ended
    cdef size_t pattern_size = len(ended)
    cdef uint32_t owed = self.len
    cdef uint32_t kept = 0
    cdef uint32_t at
    cdef frame_t* frame
    for at in range(owed):
        frame = self.ring[(self.head + at) & (self.cap - 1)]
        if (pattern_matches(pattern, pattern_size, frame.data + frame.name_at, frame.name_size)
                and not index.covers_name(slot, frame.data + frame.name_at, frame.name_size)):
            self.bytes -= frame.size
            frame_drop(frame)
        else:
            self.ring[(self.head + kept) & (self.cap - 1)] = frame
            kept += 1
    self.len = <uint16_t>kept
    return <int>(owed - kept)


cdef int outbox_purge_states(outbox_t* self, unwanted, Channels channels) except -1:
    """Give up the values that are owed of the channels in `unwanted`, each there once; how many."""
    cdef list gone = [id for id in unwanted if idset_contains(&self.owed, id)]
    cdef uint32_t id
    idset_discard_all(&self.owed, gone)
    for id in gone:
        channels.unuse(id, 1)
    return <int>len(gone)


cdef int outbox_clear(outbox_t* self, Channels channels) except -1:
    """Give up everything but a CLOSE."""
    _take_events(self, self.len)
    _take_states(self, self.owed.len, channels)
    self.gapped = 0
    if self.control != NULL:
        _take_control(self, self.control.len)
    return 0


cdef int outbox_free(outbox_t* self, Channels channels) except -1:
    """Give up everything and every block: the slot is free again."""
    outbox_clear(self, channels)
    if self.control != NULL:
        frame_drop(self.control.close)
        free_block(self.control.frames)
        free_block(self.control)
        self.control = NULL
    free_block(self.ring)
    self.ring = NULL
    self.cap = 0
    idset_free(&self.owed)
    self.flags = 0
    self.window_bits = 0
    self.stamp = 0
    return 0
