# Plain 64-bit totals, and the live-object counts that tests bring back to zero.

from libc.stdint cimport int64_t, uint64_t

cdef enum:
    RULES_MAX = 64              # outbox_t.gapped has a bit for each
    NO_RULE = RULES_MAX         # whose frames are no publications


cdef struct counters_t:
    # in
    uint64_t publications_unwanted  # accepted, but nobody subscribed
    uint64_t publications_repeated  # not above the last position of their channel: ignored
    # encoding
    uint64_t frames_encoded         # publications turned into a text frame
    uint64_t frames_encoded_bytes
    uint64_t frames_deflated        # of those: compressed as well, for who can inflate them
    uint64_t frames_deflated_bytes
    uint64_t frames_deflated_saved_bytes    # what their plain twins have more
    # towards connections
    uint64_t replies                # control-lane frames written whole
    uint64_t writes                 # calls to Sink.send
    uint64_t written_bytes          # accepted by the kernel or handed to the transport
    uint64_t blocked                # writes that ended short: the connection is a slow one for now
    # what was not delivered, and why
    uint64_t conflated_gathered     # a newer value took the place of one that nobody was owed yet
    uint64_t conflated_owed         # ... of one that its connection was owed
    uint64_t conflated_held         # ... of one that a connection's max_rate held back
    uint64_t dropped_gap            # events past a connection's limit, announced by a gap
    uint64_t dropped_close          # ... or the end of the connection
    uint64_t dropped_rate           # events past a rate of the whole worker, announced by a gap
    uint64_t gaps                   # gap frames queued
    uint64_t purged                 # owed for a channel when its subscription ended
    # channels
    uint64_t channels_evicted


cdef struct by_rule_t:
    uint64_t publications           # accepted by publish()
    uint64_t deliveries             # publication frames written whole to a connection


cdef struct live_t:
    int64_t frames                  # frame_t allocated and not yet freed
    int64_t blocks                  # arrays owned by index, outbox, pace, wheel


# One instance for the process: every core module counts here what it allocates.
cdef live_t live


cdef class Counters:
    cdef:
        counters_t totals
        by_rule_t by_rule[RULES_MAX + 1]    # NO_RULE's is added to and never read
