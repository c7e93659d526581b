"""The core alone: operations in any order and number; it holds together, and sends whole frames."""

from __future__ import annotations

from tests.core.rig import ALL, Rig, slot_of
from tests.core.wire import Carry
from tests.fuzz.tape import Tape
from tests.support.frames import CLOSE, FrameReader
from wsgate.core.frame import Frame
from wsgate.core.roster import ALIVE_TIMER, CLOSE_TIMER, TooManyChannels, TooManyRates
from wsgate.delta import squeeze

NAMES = [
    "state.a.x", "state.b.x", "state.c", "event.a.x", "event.c", "strict.a.x", "state.d", "event.d",
    "state.>", "state.*.x", "event.*.x", "*.a.x", ">", "*.*", "strict.>",
]  # fmt: skip
CHANNELS = [name for name in NAMES if "*" not in name and ">" not in name]
LIMITS = {
    "channels_max": 6, "events_bytes_max": 2000, "events_count_max": 6, "control_bytes_max": 300,
}  # fmt: skip
CARRIES: list[Carry] = ["holds", "holds", "passes", "breaks"]
PLACES = 70  # a bitmap word, and more
STEPS_MAX = 1000
CHECK_EVERY = 16


class _Session:
    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.rig = Rig(**LIMITS, squeeze=squeeze)
        self.core, self.delivery = self.rig.core, self.rig.delivery
        self.breaks: set[int] = set()  # slots whose transports may
        self.speakers: set[int] = set()  # handles of who speaks wsgate.delta.v1
        self.opened = 0
        self.published = 0
        # Handles of connections that are gone stay: they mean nobody.
        self.handles = [self._open(), self._open()]

    def step(self) -> None:
        tape, handle = self.tape, self.tape.one_of(self.handles)
        match tape.number(20):
            case 0:
                if len(self.handles) < PLACES:
                    self.handles.append(self._open())
                else:
                    self._release(handle)
                    self.handles[self.handles.index(handle)] = self._open()
            case 1 | 2 | 3:
                if self._lives(handle):
                    try:
                        self.rig.subscribe(
                            handle,
                            tape.one_of(NAMES),
                            tape.one_of([0, 0, 16, 100, 500, 501, 502, 503, 504, 505]),
                        )
                    except (TooManyChannels, TooManyRates):
                        pass
            case 4:
                if self._lives(handle):
                    self.core.unsubscribe(handle, tape.one_of(NAMES))
            case 5 | 6 | 7 | 8:
                try:
                    self.published += 1
                    text = b"%dx" % self.published * tape.number(100)
                    self.rig.publish(tape.one_of(CHANNELS), b'"%s"' % text)
                except TooManyChannels:
                    pass
            case 9 | 10:
                self.core.flush(self.rig.now_ms, tape.one_of([1, 2, 10, ALL]), tape.number(3))
            case 11:
                self.delivery.flush_urgent(tape.one_of([1, 2, ALL]))
            case 12:
                self._choke(handle)
            case 13:
                self.rig.resume(handle)
            case 14:
                self.rig.later(tape.one_of([0, 1, 16, 17, 100, 600, 100_000]))
            case 15:
                reply = tape.one_of(
                    [Frame.text(bytes(tape.number(90))), Frame.pong(b"a"), Frame.ping()]
                )
                self.delivery.reply(handle, reply)
            case 16:
                announce = tape.one_of([self.delivery.tell_all, self._announce_gap])
                announce(Frame.feed(b"{}"))
            case 17:
                self.core.schedule(
                    handle,
                    tape.one_of([ALIVE_TIMER, CLOSE_TIMER]),
                    self.rig.now_ms + tape.number(70_000),
                )
            case 18:
                self.core.settle_all()
                self.delivery.end(handle, Frame.close(1000), bool(tape.number(1)))
            case 19:
                for doomed, reason in self.delivery.take_doomed():
                    if reason == "slow_consumer":
                        self.delivery.pardon(doomed)
                        self.delivery.end(doomed, Frame.close(4001), False)
            case _:
                self._release(handle)

    def _open(self) -> int:
        self.opened += 1
        speaks_delta = self.opened % 2 == 0
        handle = self.core.open(delta=speaks_delta)
        self.rig.wire.renew(slot_of(handle))
        if speaks_delta:
            self.speakers.add(handle)
        return handle

    def _lives(self, handle: int) -> bool:
        return self.delivery.owed(handle) is not None

    def _announce_gap(self, frame: Frame) -> None:
        self.delivery.announce_gap(frame, 0b111)

    def _choke(self, handle: int) -> None:
        slot = slot_of(handle)
        if self._lives(handle) and slot not in self.rig.wire.held:
            if not (size := self.tape.number(300)):
                self.rig.wire.cut_off(slot)
            carry: Carry = self.tape.one_of(CARRIES)
            self.rig.wire.accept(slot, size, carry)
            if carry == "breaks":
                self.breaks.add(slot)

    def _release(self, handle: int) -> None:
        if self.core.release(handle):
            self.rig.wire.renew(slot_of(handle))
            self.breaks.discard(slot_of(handle))

    def finish(self) -> None:
        for handle in self.handles:
            self.rig.resume(handle)
        self.rig.later()
        self.rig.flush_all()
        self.core.check()
        for handle in self.handles:
            if self._lives(handle):
                self._check_stream(handle)

    def _check_stream(self, handle: int) -> None:
        reader = FrameReader()
        if handle in self.speakers:
            reader.speak_delta()
        reader.feed(self.rig.stream(handle))
        opcodes = []
        while (frame := reader.next()) is not None:
            opcodes.append(frame.opcode)
        assert CLOSE not in opcodes[:-1], "something after CLOSE"
        # Only a transport that breaks in the middle of a frame leaves a part of one.
        assert not reader.partial or slot_of(handle) in self.breaks, "half a frame"


def fuzz(data: bytes) -> None:
    tape = Tape(data)
    session = _Session(tape)
    for count in range(STEPS_MAX):
        if not tape:
            break
        session.step()
        if count % CHECK_EVERY == 0:
            session.core.check()
    session.finish()
