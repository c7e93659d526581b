"""A hashed timing wheel (Varghese and Lauck 1987, scheme 6) over nodes that the caller numbers.

Owns: for every node at most one deadline. Has no clock: time is what the caller says it is.
Invariant: a scheduled node stands in the bucket of its tick, rounded up: it never fires early.
Cost: schedule and cancel O(1), no allocation; expiry O(ticks passed + timers in their buckets).
"""

from libc.string cimport memset

from wsgate.core.memory cimport free_block, resize_block

cdef enum:
    NO_TIMER = 0xFFFFFFFF


cdef class Wheel:
    """Deadlines in milliseconds for numbered nodes."""

    def __cinit__(self, uint64_t now_ms=0):
        memset(self.heads, 0xFF, sizeof(self.heads))
        self.tick = now_ms // WHEEL_TICK_MS

    def __dealloc__(self):
        free_block(self.timers)

    cdef int reserve(self, uint32_t nodes) except -1:
        cdef uint32_t node
        if nodes <= self.nodes:
            return 0
        self.timers = <timer_t*>resize_block(self.timers, nodes * sizeof(timer_t))
        for node in range(self.nodes, nodes):
            self.timers[node].bucket = NO_TIMER
        self.nodes = nodes
        return 0

    cdef int schedule_node(self, uint32_t node, uint64_t due_ms) except -1:
        """Fire `node` once, at `due_ms` or up to a tick later; replaces its earlier deadline."""
        cdef timer_t* timer
        cdef uint64_t tick = (due_ms + WHEEL_TICK_MS - 1) // WHEEL_TICK_MS
        if node >= self.nodes:
            self.reserve(node + 1)
        self.cancel_node(node)
        if tick <= self.tick:
            tick = self.tick + 1            # its bucket was looked at: the next one
        timer = &self.timers[node]
        timer.due_ms = due_ms
        timer.bucket = <uint32_t>(tick % WHEEL_BUCKETS)
        timer.prev = NO_TIMER
        timer.next = self.heads[timer.bucket]
        if timer.next != NO_TIMER:
            self.timers[timer.next].prev = node
        self.heads[timer.bucket] = node
        self.scheduled += 1
        return 0

    cdef void cancel_node(self, uint32_t node) noexcept:
        """Forget the deadline of `node`, if it has one."""
        cdef timer_t* timer
        if node >= self.nodes:
            return
        timer = &self.timers[node]
        if timer.bucket == NO_TIMER:
            return
        if timer.prev == NO_TIMER:
            self.heads[timer.bucket] = timer.next
        else:
            self.timers[timer.prev].next = timer.next
        if timer.next != NO_TIMER:
            self.timers[timer.next].prev = timer.prev
        timer.bucket = NO_TIMER
        self.scheduled -= 1

    cdef uint32_t pop_due(self, uint64_t now_ms) noexcept:
        """One node that is due, no longer scheduled, or NO_TIMER when none is left for `now_ms`."""
        cdef uint64_t last = now_ms // WHEEL_TICK_MS
        cdef uint32_t node
        if last > self.tick + WHEEL_BUCKETS:
            self.tick = last - WHEEL_BUCKETS        # a whole turn visits every bucket
        while self.tick < last:
            node = self.heads[(self.tick + 1) % WHEEL_BUCKETS]
            while node != NO_TIMER:
                if self.timers[node].due_ms <= now_ms:
                    self.cancel_node(node)
                    return node
                node = self.timers[node].next
            self.tick += 1
        return NO_TIMER

    def schedule(self, node: int, due_ms: int) -> None:
        """Fire `node` once at `due_ms`, or up to 16 ms later; replaces its earlier deadline."""
        self.schedule_node(node, due_ms)

    def cancel(self, node: int) -> None:
        """Forget the deadline of `node`, if it has one."""
        self.cancel_node(node)

    def expire(self, now_ms: int) -> list:
        """All nodes due by `now_ms`."""
        cdef uint32_t node
        due = []
        while True:
            node = self.pop_due(now_ms)
            if node == NO_TIMER:
                return due
            due.append(node)
