"""A client of ``wsgate.delta.v1`` on the core's wire, and what ``wsgate.v1`` would have said."""

from __future__ import annotations

from collections import Counter

from tests.core.rfc6455 import BINARY, TEXT, encode, parse_whole
from tests.core.rig import RULE_OF, RULES, envelope
from wsgate.delta import Decoder, Form, Publication


class Speaker:
    """Reads a stream that grows, frame by frame."""

    def __init__(self) -> None:
        self.decoder = Decoder()
        self.publications: list[Publication] = []
        self.forms: Counter[Form] = Counter()
        self._text = b""
        self._at = 0

    def in_text(self, stream: bytes) -> bytes:
        """All that came so far; binary messages as the text messages that they stand for."""
        frames, self._at = parse_whole(stream, self._at)
        for frame in frames:
            if frame.opcode != BINARY:
                assert not frame.payload.startswith(tuple(b'{"type":"%s"' % t for t in TYPES))
                self._text += encode(frame.opcode, frame.payload)
                continue
            self.forms[Form(frame.payload[0] & 7)] += 1
            found = self.decoder.decode(frame.payload)
            if found is not None:
                self._take(found)
        return self._text + stream[self._at :]

    def _take(self, found: Publication) -> None:
        type, kind, _ = RULES[RULE_OF[found.channel.split(".")[0]]]
        assert (found.type, found.kind) == (type, kind)
        self.publications.append(found)
        self._text += encode(TEXT, envelope(found.channel, found.seq, found.prev, found.data))


TYPES = [type.encode() for type, _, _ in RULES]
