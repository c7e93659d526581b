"""wsgate.delta.v1 in the core: a publication's binary message, made once for all who speak it.

Owns: of each channel that somebody gets in this format its number, its newest keyframe, and what says
when to renew that. A message belongs to the publication's text frame, and a keyframe to the messages
that need it: whatever is still queued anywhere can be written whenever its turn comes.

    text frame ──delta──▶ DELTA            text frame ──delta──▶ SAME ──delta──▶ KEPT
                            │                                     │     (for who holds keyframe 7)
                        keyframe 7                            keyframe 8

Never: knows a connection (``holdings`` does), keeps a payload of more than KEYFRAME_BYTES_MAX.
Invariant: a message is right for whoever holds its keyframe, whatever else they were sent or not; what was
published before the newest that was encoded renews nothing, so that keyframes rise with ``seq``.
Cost: one call of `squeeze` a publication, when the first who speaks this is written to, and one more
for a keyframe, when the first who has none of the channel is; else a comparison.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t
from libc.stdlib cimport malloc
from libc.string cimport memcmp, memcpy

from wsgate.core.counters cimport live
from wsgate.core.frame cimport (
    KEYFRAME,
    OP_BINARY,
    PLAIN,
    Frame,
    FrameRole,
    frame_drop,
    frame_new,
    keyframe_drop,
)
from wsgate.core.holdings cimport (
    GENERATION_BITS,
    Holdings,
    holdings_find,
    holdings_put,
    holdings_reserve,
    holdings_t,
)
from wsgate.core.renewal cimport renewal_done, renewal_due
from wsgate.core.varint cimport VARINT_BYTES_MAX, varint_put, zigzag

cdef enum Form:
    FORM_KEYFRAME = 1
    FORM_RENEWAL = 2
    FORM_DELTA = 3
    FORM_KEPT = 4
    FORM_SAME = 5
    FORM_PLAIN = 6

cdef enum:
    KEYFRAME_BYTES_MAX = 32768      # of the protocol: as far back as deflate can refer
    HEAD_BYTES_MAX = 1 + 4 * VARINT_BYTES_MAX
    BEHIND_MAX = 64                 # older ones in a row: the channel's source counts anew
    BETWEEN_BYTES = 8               # of a text frame: `","seq":`, `,"prev":` and `,"data":`
    GENERATION_MAX = (1 << GENERATION_BITS) - 1

cdef int64_t FAR = <int64_t>1 << 52     # a zigzag of it is the most that a JavaScript number holds


cdef inline const char* _decimal(const char* at, uint64_t* value) noexcept nogil:
    value[0] = 0
    while c"0" <= at[0] <= c"9":
        value[0] = 10 * value[0] + (at[0] - c"0")
        at += 1
    return at


cdef void _read(const frame_t* plain, publication_t* it) noexcept nogil:
    """The parts of a text frame as ``frame_publication`` lays it out."""
    cdef uint64_t prev = 0
    cdef const char* at = plain.data + plain.name_at + plain.name_size + BETWEEN_BYTES
    at = _decimal(at, &it.seq) + BETWEEN_BYTES
    at = _decimal(at, &prev) + BETWEEN_BYTES
    it.back = it.seq - prev if prev else 0
    it.payload = at
    it.size = plain.data + plain.size - 1 - at


cdef frame_t* _message(
    Form form, const keyframe_t* keyframe, uint64_t seq, uint64_t back,
    const char* rest, size_t size, FrameRole role
) except NULL:
    """A message that needs `keyframe`: its head, then `rest`."""
    cdef char head[HEAD_BYTES_MAX]
    cdef char* end = head
    cdef char* out = NULL
    cdef frame_t* frame
    end[0] = <char>(<uint32_t>form | (keyframe.id << 3 & 0xFF))
    end = varint_put(end + 1, keyframe.id >> GENERATION_BITS)
    end = varint_put(end, zigzag(<int64_t>(seq - keyframe.seq)))
    if form != FORM_RENEWAL:
        end = varint_put(end, back)
    frame = frame_new(OP_BINARY, <size_t>(end - head) + size, role, &out)
    memcpy(out, head, end - head)
    if size:
        memcpy(out + (end - head), rest, size)
    return frame


cdef frame_t* _publication(
    Form form, keyframe_t* keyframe, const frame_t* plain, const publication_t* it,
    const char* rest, size_t size
) except NULL:
    """The message of a publication: it owns the keyframe with others."""
    cdef frame_t* frame = _message(form, keyframe, it.seq, it.back, rest, size, PLAIN)
    keyframe.refs += 1
    frame.keyframe = keyframe
    frame.rule = plain.rule
    return frame


cdef void keyframe_left(
    const frame_t* frame, keyframe_t* keyframe, holdings_t* holdings, Counters counters
) noexcept:
    if frame.role != KEYFRAME:
        keyframe.in_step += 1
    else:
        counters.totals.keyframes_sent += 1
        counters.totals.keyframes_sent_bytes += frame.size
        if holdings_find(holdings, keyframe.id):
            keyframe.catch_up_bytes += frame.size
    holdings_put(holdings, keyframe.id)


cdef class Coder:
    def __dealloc__(self):
        keyframe_drop(self.keyframe)


cdef class DeltaEncoder:
    """`squeeze`: (payload, dictionary) -> raw deflate, to its final block, in a window of 15 bits.

    `rules`: (type, kind), kind "state" or "event"; frames name theirs by its place. Of at most
    `channels_max` channels a keyframe is remembered.
    """

    def __cinit__(self, Counters counters, squeeze, rules, uint32_t channels_max):
        self.counters = counters
        self.squeeze = squeeze
        self.labels = [bytes([kind == "event", len(type)]) + type.encode("ascii")
                       for type, kind in rules]
        self.coders = {}
        self.channels_max = channels_max

    cdef frame_t* twin_of(self, frame_t* plain) except NULL:
        if plain.name_size == 0:
            return plain
        if plain.delta == NULL:
            plain.delta = self._encode(plain)
        return plain.delta

    cdef int pass_on(self, frame_t* plain, uint64_t held, passage_t* passage) except -1:
        cdef frame_t* twin = self.twin_of(plain)
        cdef keyframe_t* needed = twin.keyframe
        passage.first = NULL
        passage.frame = twin
        passage.brings = NULL
        if needed == NULL or held == needed.id:
            return 0
        passage.brings = needed
        if held and held == needed.before:
            if twin.delta != NULL:
                passage.frame = twin.delta
            else:
                passage.first = needed.renewal
            return 0
        if needed.whole == NULL:
            self._bring(needed, plain)
        passage.first = needed.whole
        return 0

    # encoding

    cdef frame_t* _encode(self, frame_t* plain) except NULL:
        cdef publication_t it
        cdef Coder coder = self._coder(plain.data[plain.name_at:plain.name_at + plain.name_size])
        cdef keyframe_t* keyframe
        cdef frame_t* twin
        _read(plain, &it)
        if coder.keyframe != NULL and not -FAR <= <int64_t>(it.seq - coder.keyframe.seq) < FAR:
            keyframe_drop(coder.keyframe)
            coder.keyframe = NULL       # a difference that would not fit: the channel gets another number
        if coder.keyframe == NULL:
            coder.keyframe = self._keyframe(coder, &it)
        keyframe = coder.keyframe
        if keyframe.size == it.size and memcmp(keyframe.payload, it.payload, it.size) == 0:
            twin = _publication(FORM_SAME, keyframe, plain, &it, NULL, 0)
        else:
            twin = self._deflated(coder, plain, &it)
        self._note_position(coder, it.seq)
        self.counters.totals.frames_delta += 1
        self.counters.totals.frames_delta_bytes += (twin if twin.delta == NULL else twin.delta).size
        self.counters.totals.frames_delta_saved_bytes += (
            plain.size - (twin if twin.delta == NULL else twin.delta).size)
        return twin

    cdef frame_t* _deflated(self, Coder coder, frame_t* plain, const publication_t* it) except NULL:
        cdef keyframe_t* keyframe = coder.keyframe
        cdef bytes squeezed = self.squeeze(
            it.payload[:it.size], PyBytes_FromStringAndSize(keyframe.payload, keyframe.size))
        cdef uint32_t size = <uint32_t>PyBytes_GET_SIZE(squeezed)
        if size >= it.size:
            return _publication(FORM_PLAIN, keyframe, plain, it, it.payload, it.size)
        if it.seq > coder.seq and it.size <= KEYFRAME_BYTES_MAX and renewal_due(&coder.renewal, size):
            return self._renew(coder, plain, it, squeezed)
        return _publication(FORM_DELTA, keyframe, plain, it, PyBytes_AS_STRING(squeezed), size)

    cdef void _note_position(self, Coder coder, uint64_t seq) noexcept:
        coder.behind = 0 if seq > coder.seq else coder.behind + 1
        if seq > coder.seq or coder.behind == BEHIND_MAX:
            coder.seq = seq

    # keyframes

    cdef frame_t* _renew(
        self, Coder coder, frame_t* plain, const publication_t* it, bytes squeezed
    ) except NULL:
        """The payload is the channel's keyframe from now on; its message, in both forms."""
        cdef keyframe_t* before = coder.keyframe
        cdef keyframe_t* keyframe = self._keyframe(coder, it)
        cdef const char* rest = PyBytes_AS_STRING(squeezed)
        cdef size_t size = PyBytes_GET_SIZE(squeezed)
        cdef frame_t* twin = NULL
        try:
            if keyframe.before:
                keyframe.renewal = _message(
                    FORM_RENEWAL, before, it.seq, 0, rest, size, KEYFRAME)
            twin = _publication(FORM_SAME, keyframe, plain, it, NULL, 0)
            if keyframe.before:
                twin.delta = _message(FORM_KEPT, before, it.seq, it.back, rest, size, PLAIN)
                twin.delta.rule = plain.rule
        except BaseException:
            keyframe_drop(keyframe)
            if twin != NULL:
                frame_drop(twin)
            raise
        renewal_done(&coder.renewal, before.catch_up_bytes, before.in_step)
        coder.keyframe = keyframe
        keyframe_drop(before)
        self.counters.totals.keyframes_renewed += 1
        return twin

    cdef keyframe_t* _keyframe(self, Coder coder, const publication_t* it) except NULL:
        """The channel's next keyframe, its reference the caller's; without one before it has a new number."""
        cdef uint64_t before = 0 if coder.keyframe == NULL else coder.keyframe.id
        cdef size_t size = it.size if it.size <= KEYFRAME_BYTES_MAX else 0
        cdef keyframe_t* keyframe = <keyframe_t*>malloc(sizeof(keyframe_t) + size)
        if keyframe == NULL:
            raise MemoryError()
        live.blocks += 1
        if before & GENERATION_MAX == GENERATION_MAX:
            before = 0
        if before == 0:
            self.numbers += 1
        keyframe.refs = 1
        keyframe.size = <uint32_t>size
        keyframe.id = before + 1 if before else self.numbers << GENERATION_BITS
        keyframe.before = before
        keyframe.seq = it.seq
        keyframe.whole = NULL
        keyframe.renewal = NULL
        keyframe.catch_up_bytes = 0
        keyframe.in_step = 0
        memcpy(keyframe.payload, it.payload, size)
        return keyframe

    cdef int _bring(self, keyframe_t* keyframe, const frame_t* plain) except -1:
        """Make the message that brings the keyframe, of the channel of `plain`, to anybody."""
        cdef char head[HEAD_BYTES_MAX]
        cdef char* end = head
        cdef char* out = NULL
        cdef bytes name = plain.data[plain.name_at:plain.name_at + plain.name_size]
        cdef bytes message
        head[0] = <char>(FORM_KEYFRAME | (keyframe.id << 3 & 0xFF))
        end = varint_put(head + 1, keyframe.id >> GENERATION_BITS)
        end = varint_put(end, keyframe.seq)
        message = head[:end - head] + self.labels[plain.rule]
        end = varint_put(head, plain.name_size)
        message += head[:end - head] + name + self.squeeze(
            PyBytes_FromStringAndSize(keyframe.payload, keyframe.size), b"")
        keyframe.whole = frame_new(OP_BINARY, PyBytes_GET_SIZE(message), KEYFRAME, &out)
        memcpy(out, PyBytes_AS_STRING(message), PyBytes_GET_SIZE(message))
        return 0

    # channels

    cdef Coder _coder(self, bytes name):
        cdef Coder coder = self.coders.get(name)
        if coder is None:
            if len(self.coders) >= self.channels_max:
                self._evict()
            coder = Coder.__new__(Coder)
            self.coders[name] = coder
        coder.used = True
        return coder

    cdef int _evict(self) except -1:
        """Forget a channel that was not used since it was last looked at, the longest known first."""
        cdef bytes name
        cdef Coder coder
        while True:
            name = next(iter(self.coders))
            coder = self.coders.pop(name)
            if not coder.used:
                return 0
            coder.used = False
            self.coders[name] = coder

    # for tests and measurements

    def messages(self, holdings: Holdings, publication: Frame) -> list:
        """The frames for a connection that holds so much, which holds what they bring after that."""
        cdef Holdings client = holdings
        cdef Frame frame = publication
        cdef passage_t passage
        cdef frame_t* twin = self.twin_of(frame.raw)
        cdef uint64_t held = 0
        if twin.keyframe != NULL:
            held = holdings_find(client.raw, twin.keyframe.id)
        self.pass_on(frame.raw, held, &passage)
        if passage.brings != NULL:
            holdings_reserve(&client.raw, 1)
            keyframe_left(passage.first if passage.first != NULL else passage.frame,
                          passage.brings, client.raw, self.counters)
        cdef list frames = []
        if passage.first != NULL:
            frames.append(PyBytes_FromStringAndSize(passage.first.data, passage.first.size))
        frames.append(PyBytes_FromStringAndSize(passage.frame.data, passage.frame.size))
        return frames

    def __len__(self) -> int:
        """Of how many channels something is remembered."""
        return len(self.coders)
