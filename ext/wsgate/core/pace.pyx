"""max_rate: a connection that wants its state channels at most n times a second.

Owns: for each connection that set a rate up to eight clocks, and the channels that each holds back
until it strikes. All channels subscribed with the same rate share a clock, so they leave in the same
write. A clock that holds nothing lets the next publication through at once.
Invariant: what a clock holds is in use (``Channels.use``); a group without subscriptions holds nothing
for longer than its interval.
Cost: O(1) for each publication held back; nothing at all for connections that set no rate.
"""

from wsgate.core.idset cimport (
    idset_add,
    idset_at,
    idset_contains,
    idset_discard_all,
    idset_free,
)


cdef class Pace:
    """One connection's clocks."""

    def __dealloc__(self):
        cdef int at
        for at in range(PACE_GROUPS_MAX):
            idset_free(&self.groups[at].held)

    cdef uint64_t next_release(self) noexcept:
        """When the first clock that holds something strikes; 0 if none does."""
        cdef uint64_t first = 0
        cdef int at
        for at in range(PACE_GROUPS_MAX):
            if self.groups[at].held.len and (first == 0 or self.groups[at].next_ms < first):
                first = self.groups[at].next_ms
        return first


cdef class Paces:
    """The clocks of all connections, by slot. Groups are numbered from 1; 0 is "no rate"."""

    def __cinit__(self, Channels channels):
        self.by_slot = []
        self.instant = 1
        self.channels = channels

    cdef int reserve(self, uint32_t slots) except -1:
        self.by_slot.extend([None] * (<Py_ssize_t>slots - len(self.by_slot)))
        return 0

    cdef uint32_t group_for(self, uint32_t slot, uint32_t interval_ms) except? 0xFFFFFFFF:
        """The connection's group with this interval, a free one made so, or 0: all are taken."""
        cdef Pace pace = self.by_slot[slot]
        cdef uint32_t free = 0
        cdef int at
        if pace is None:
            pace = self.by_slot[slot] = Pace()
            self.count += 1
        for at in range(PACE_GROUPS_MAX):
            if pace.groups[at].interval_ms == interval_ms:
                return at + 1
            if free == 0 and pace.groups[at].interval_ms == 0:
                free = at + 1
        if free:
            pace.groups[free - 1].interval_ms = interval_ms
            pace.groups[free - 1].next_ms = 0
        return free

    cdef int join(self, uint32_t slot, uint32_t group) except -1:
        """One more subscription is in the group."""
        (<Pace>self.by_slot[slot]).groups[group - 1].subscriptions += 1
        return 0

    cdef int leave(self, uint32_t slot, uint32_t group) except -1:
        """One subscription less is in the group; the last one frees it."""
        cdef pace_group_t* left = &(<Pace>self.by_slot[slot]).groups[group - 1]
        left.subscriptions -= 1
        return self._release_if_idle(left)

    cdef int offer(self, uint32_t slot, uint32_t group, uint32_t id, uint64_t now_ms) except -1:
        """A channel of the group was published: an Offer says what becomes of it."""
        cdef pace_group_t* asked = &(<Pace>self.by_slot[slot]).groups[group - 1]
        if asked.held.len == 0 and now_ms >= asked.next_ms:
            asked.next_ms = now_ms + asked.interval_ms
            asked.instant = self.instant
            return RELEASED
        if asked.held.len == 0 and asked.instant == self.instant:
            return RELEASED             # it leaves in the same write as the one let through
        if not idset_add(&asked.held, id):
            return CONFLATED
        self.channels.use(id, 1)
        return HELD

    cdef list take_due(self, uint32_t slot, uint64_t now_ms):
        """The channels that are to be owed now; the caller takes over a use of each."""
        cdef Pace pace = self.by_slot[slot]
        cdef pace_group_t* group
        cdef list due = []
        cdef uint32_t position
        cdef int at
        if pace is None:
            return due
        for at in range(PACE_GROUPS_MAX):
            group = &pace.groups[at]
            if group.held.len and now_ms >= group.next_ms:
                group.next_ms = now_ms + group.interval_ms
                for position in range(group.held.len):
                    due.append(idset_at(&group.held, position))
                idset_free(&group.held)
                self._release_if_idle(group)
        return due

    cdef uint64_t next_release(self, uint32_t slot) except? 0:
        """When the connection's next clock strikes; 0 if none has to."""
        cdef Pace pace = self.by_slot[slot]
        return 0 if pace is None else pace.next_release()

    cdef list held(self, uint32_t slot):
        """The channels that the connection's clocks hold; twice if two of them do."""
        cdef Pace pace = self.by_slot[slot]
        cdef uint32_t position
        cdef int at
        if pace is None:
            return []
        return [idset_at(&pace.groups[at].held, position)
                for at in range(PACE_GROUPS_MAX)
                for position in range(pace.groups[at].held.len)]

    cdef int give_up(self, uint32_t slot, unwanted) except -1:
        """Hold none of the channels in `unwanted`, each there once, any more."""
        cdef Pace pace = self.by_slot[slot]
        cdef pace_group_t* group
        cdef list gone
        cdef uint32_t id
        cdef int at
        if pace is None:
            return 0
        for at in range(PACE_GROUPS_MAX):
            group = &pace.groups[at]
            if group.held.len == 0:
                continue
            gone = [id for id in unwanted if idset_contains(&group.held, id)]
            idset_discard_all(&group.held, gone)
            for id in gone:
                self.channels.unuse(id, 1)
            self._release_if_idle(group)
        return 0

    cdef int forget(self, uint32_t slot) except -1:
        """The connection is gone, with its clocks."""
        self.give_up(slot, set(self.held(slot)))
        if self.by_slot[slot] is not None:
            self.count -= 1
        self.by_slot[slot] = None
        return 0

    cdef int _release_if_idle(self, pace_group_t* group) except -1:
        """Let another rate have the group, once nobody is in it and nothing waits for its clock."""
        if group.subscriptions == 0 and group.held.len == 0:
            group.interval_ms = 0
        return 0
