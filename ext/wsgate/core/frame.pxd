# A frame: RFC 6455 header and payload as they go over the wire, immutable and shared.
#
# Whoever keeps a frame_t* owns one of its references: frame_keep to take one, frame_drop to
# give it back. Functions marked "new reference" return one to the caller.

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from *:
    """
    #ifndef WSGATE_FRAME_T
    #define WSGATE_FRAME_T
    struct keyframe_t;
    typedef struct frame_t {
        uint32_t refs;
        uint32_t size;
        uint16_t name_at;
        uint16_t name_size;
        uint8_t role;
        uint8_t rule;
        struct frame_t* deflated;
        struct frame_t* delta;
        struct keyframe_t* keyframe;
        char data[];
    } frame_t;
    typedef struct keyframe_t {
        uint32_t refs;
        uint32_t size;
        uint64_t id;
        uint64_t before;
        uint64_t seq;
        struct frame_t* whole;
        struct frame_t* renewal;
        uint64_t catch_up_bytes;
        uint32_t in_step;
        char payload[];
    } keyframe_t;
    #endif
    """
    # Of wsgate.delta.v1: what later payloads of a channel are deflated against.
    ctypedef struct keyframe_t:
        uint32_t refs           # owners: its channel, and the frames that need it
        uint32_t size           # of the payload
        uint64_t id             # channel number << GENERATION_BITS | generation
        uint64_t before         # the id of the one that it took the place of; 0: it is the first
        uint64_t seq            # that its payload was published with
        frame_t* whole          # owned: the message that brings it to anybody; NULL until wanted
        frame_t* renewal        # owned: ... to who holds `before`; NULL if it is the first
        uint64_t catch_up_bytes     # sent to bring it to connections that held another one
        uint32_t in_step        # connections that a publication brought it to
        char payload[1]
    ctypedef struct frame_t:
        uint32_t refs           # owners
        uint32_t size           # bytes in data
        uint16_t name_at        # publications: where in data the channel's name begins
        uint16_t name_size      # ... and its length; 0 for every other frame
        uint8_t role            # FrameRole
        uint8_t rule            # publications: their channel's; NO_RULE for every other frame
        frame_t* deflated       # owned: its compressed twin; NULL: not tried; itself: it has none
        # owned: a publication's binary message for who holds the keyframe it needs; NULL: not wanted yet.
        # Of that message: another for who holds the keyframe before, which brings the one it needs.
        frame_t* delta
        keyframe_t* keyframe    # owned: of a binary message: the one it needs
        char data[1]


cdef enum FrameRole:
    PLAIN = 0               # queued as it comes
    PONG = 1                # only a few are owed, the newest among them
    FEED = 2                # only the newest is owed
    CLOSE = 3               # the last thing ever written
    KEYFRAME = 4            # goes before a publication that needs it; stands in no lane


cdef enum Opcode:
    OP_TEXT = 0x1
    OP_BINARY = 0x2
    OP_CLOSE = 0x8
    OP_PING = 0x9
    OP_PONG = 0xA


cdef enum:
    HEADER_BYTES_MAX = 10       # an unmasked RFC 6455 header with a 64-bit length
    CONTROL_PAYLOAD_BYTES_MAX = 125
    RSV1 = 0x40                 # of the first byte: the message is compressed (RFC 7692 6)


cdef void frame_free(frame_t* frame) noexcept nogil
cdef void keyframe_drop(keyframe_t* keyframe) noexcept nogil        # NULL is allowed


cdef inline uint32_t frame_header_size(const frame_t* frame) noexcept nogil:
    return 2 if frame.data[1] < 126 else (4 if frame.data[1] == 126 else 10)


cdef inline void frame_keep(frame_t* frame, uint32_t count) noexcept nogil:
    frame.refs += count


cdef inline void frame_drop(frame_t* frame) noexcept nogil:
    frame.refs -= 1
    if frame.refs == 0:
        frame_free(frame)


# New reference; the payload is left for the caller to write, at `payload[0]`.
cdef frame_t* frame_new(Opcode opcode, size_t size, FrameRole role, char** payload) except NULL

# New reference: {head}{seq},"prev":{prev},"data":{payload}} as a text frame. `head` is
# publication_head()'s; `name_size` is the length of the channel's name inside it.
cdef frame_t* frame_publication(
    bytes head, uint16_t name_size, uint8_t rule, uint64_t seq, uint64_t prev, bytes payload
) except NULL


cdef class Frame:
    cdef frame_t* raw           # owns one reference

    @staticmethod
    cdef Frame wrap(frame_t* raw)
