"""Binary messages for publications: encoded once, right for whoever holds their keyframe."""

from __future__ import annotations

import gc
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsgate.core.counters import Counters, live_objects
from wsgate.core.delta import DeltaEncoder
from wsgate.core.frame import Frame
from wsgate.core.holdings import Holdings
from wsgate.delta import KEYFRAME_BYTES_MAX, Decoder, Form, Publication, squeeze

NAME = "token.abc.update"


def message(frame: bytes) -> bytes:
    assert frame[0] == 0x82, "one whole binary message"
    size, at = frame[1], 2
    if size >= 126:
        wide = 2 if size == 126 else 8
        size, at = int.from_bytes(frame[2 : 2 + wide], "big"), 2 + wide
    assert len(frame) == at + size
    return frame[at:]


class Client:
    """Somebody who speaks it, and what the gateway remembers of him."""

    def __init__(self) -> None:
        self.holdings = Holdings()
        self.decoder = Decoder()
        self.forms: list[Form] = []

    def take(self, frames: list[bytes]) -> Publication:
        found = []
        for frame in frames:
            self.forms.append(Form(message(frame)[0] & 7))
            found.append(self.decoder.decode(message(frame)))
        *before, last = found
        assert before in ([], [None])
        assert last is not None
        return last


class Bench:
    def __init__(self, channels_max: int = 100) -> None:
        self.counters = Counters()
        self.calls = 0
        rules = [("token_update", "state"), ("token_comment", "event")]
        self.encoder = DeltaEncoder(self.counters, self._squeeze, rules, channels_max)

    def _squeeze(self, payload: bytes, dictionary: bytes) -> bytes:
        self.calls += 1
        return squeeze(payload, dictionary)

    def send(self, client: Client, frame: Frame) -> Publication:
        return client.take(self.encoder.messages(client.holdings, frame))

    @property
    def totals(self) -> dict[str, int]:
        return self.counters.snapshot()


def publication(seq: int, payload: bytes, prev: int | None = None, name: str = NAME) -> Frame:
    return Frame.publication("token_update", name, seq, seq - 1 if prev is None else prev, payload)


def document(number: int, chance: random.Random) -> bytes:
    words = " ".join(f"word{word}" for word in range(20))
    return json.dumps({"n": number, "text": words, "price": chance.random()}).encode()


def test_who_holds_nothing_gets_the_keyframe_first() -> None:
    bench, client = Bench(), Client()
    payload = b'{"price":1.25,"name":"ABC"}'
    assert bench.send(client, publication(7, payload)) == (
        "token_update", NAME, 7, 6, payload, "state",
    )  # fmt: skip
    assert client.forms == [Form.KEYFRAME, Form.SAME]
    after = payload.replace(b"25", b"26")
    assert bench.send(client, publication(9, after)).data == after
    assert client.forms[2:] == [Form.DELTA]


def test_it_is_encoded_once_for_all() -> None:
    bench = Bench()
    clients = [Client() for _ in range(20)]
    chance = random.Random(1)
    for seq in range(1, 101):
        payload = document(seq, chance)
        frame = publication(seq, payload)
        for client in clients:
            assert bench.send(client, frame).data == payload
    totals = bench.totals
    assert totals["frames_delta"] == 100
    assert bench.calls == 100, "99 deltas, and one keyframe that nobody had"
    assert totals["keyframes_sent"] == 20
    assert totals["keyframes_renewed"] > 1


def test_a_renewal_is_for_who_holds_the_one_before_a_publication_like_others() -> None:
    bench, client, chance = Bench(), Client(), random.Random(1)
    sizes = []
    for seq in range(1, 50):
        frames = bench.encoder.messages(client.holdings, publication(seq, document(seq, chance)))
        client.take(frames)
        sizes.append(len(b"".join(frames)))
    assert client.forms.count(Form.KEPT) > 2
    assert Form.RENEWAL not in client.forms
    assert max(sizes[1:]) < sizes[0] / 2


def test_who_missed_the_renewal_gets_it_without_its_publication() -> None:
    bench, step, late, chance = Bench(), Client(), Client(), random.Random(1)
    bench.send(late, publication(1, document(1, chance)))
    seq = 1
    while bench.totals["keyframes_renewed"] == 0:
        bench.send(step, publication(seq, document(seq, chance)))
        seq += 1
    payload = document(seq, chance)
    assert bench.send(late, publication(seq, payload)).data == payload
    assert late.forms == [Form.KEYFRAME, Form.SAME, Form.RENEWAL, Form.DELTA]
    assert bench.totals["keyframes_sent"] == 3


def test_who_missed_two_gets_the_newest_whole() -> None:
    bench, step, late, chance = Bench(), Client(), Client(), random.Random(1)
    bench.send(late, publication(1, document(1, chance)))
    seq = 1
    while bench.totals["keyframes_renewed"] < 2:
        bench.send(step, publication(seq, document(seq, chance)))
        seq += 1
    payload = document(seq, chance)
    assert bench.send(late, publication(seq, payload)).data == payload
    assert late.forms == [Form.KEYFRAME, Form.SAME, Form.KEYFRAME, Form.DELTA]


def test_what_was_encoded_for_an_older_keyframe_can_be_written_whenever_it_is() -> None:
    """Frames that waited long, for clients that hold newer keyframes, older ones, or none."""
    bench, step, chance = Bench(), Client(), random.Random(3)
    payloads = [document(seq, chance) for seq in range(1, 60)]
    frames = [publication(seq, payload) for seq, payload in enumerate(payloads, 1)]
    for frame in frames:
        bench.send(step, frame)
    for begin in (0, 10, 30):
        client = Client()
        bench.send(client, frames[-1])
        for frame, payload in zip(frames[begin:], payloads[begin:], strict=True):
            assert bench.send(client, frame).data == payload
    assert bench.totals["frames_delta"] == len(frames)


def test_what_is_older_than_the_newest_renews_nothing() -> None:
    bench, step, chance = Bench(), Client(), random.Random(3)
    frames = [publication(seq, document(seq, chance)) for seq in range(1, 62)]
    bench.send(step, frames[-1])
    for frame in frames[:-1]:
        bench.send(step, frame)
    assert bench.totals["keyframes_renewed"] == 0


def test_positions_that_begin_anew_renew_again() -> None:
    bench, step, chance = Bench(), Client(), random.Random(3)
    bench.send(step, publication(10_000, document(1, chance)))
    for seq in range(1, 200):
        bench.send(step, publication(seq, document(seq, chance)))
    assert bench.totals["keyframes_renewed"] > 0


def test_a_payload_that_nothing_makes_smaller_goes_as_it_is() -> None:
    bench, client = Bench(), Client()
    for seq in range(1, 40):
        payload = b"%d" % (seq * 7919 % 1000)
        assert bench.send(client, publication(seq, payload)).data == payload
    assert client.forms.count(Form.PLAIN) > 30
    assert bench.totals["keyframes_renewed"] == 0


@pytest.mark.parametrize("size", [KEYFRAME_BYTES_MAX, KEYFRAME_BYTES_MAX + 1, 200_000])
def test_a_large_payload_is_no_keyframe(size: int) -> None:
    bench, client = Bench(), Client()
    for seq in range(1, 20):
        payload = b'"%02d' % seq + b"x" * (size - 4) + b'"'
        assert bench.send(client, publication(seq, payload)).data == payload
    totals = bench.totals
    assert (totals["keyframes_renewed"] > 0) == (size <= KEYFRAME_BYTES_MAX)


def test_a_first_payload_that_is_unlike_all_others_is_soon_replaced() -> None:
    bench, client, chance = Bench(), Client(), random.Random(1)
    bench.send(client, publication(1, b"null"))
    sizes = [
        len(
            b"".join(
                bench.encoder.messages(client.holdings, publication(seq, document(seq, chance)))
            )
        )
        for seq in range(2, 40)
    ]
    assert sizes[-1] < sizes[0] / 2


@pytest.mark.parametrize("prev", [0, 1, 6])
def test_positions(prev: int) -> None:
    bench, client = Bench(), Client()
    for seq in (7, 2**40, 2**53 - 1, 8, 2**52 + 7, 2**52 + 8):
        found = bench.send(client, publication(seq, b'{"a":1}', prev))
        assert (found.seq, found.prev) == (seq, prev)


def test_channels_are_forgotten_the_least_used_first_and_get_new_numbers() -> None:
    bench, client = Bench(channels_max=3), Client()

    def send(name: str, seq: int) -> None:
        assert bench.send(client, publication(seq, b'{"some":"thing"}', name=name)).channel == name

    for seq, name in enumerate("abc", 1):
        send(name, seq)
    send("d", 1)  # all were used: the first goes
    assert len(bench.encoder) == 3
    send("b", 5)
    send("e", 1)
    send("b", 6)
    assert client.forms.count(Form.KEYFRAME) == 5, "b was used, and stayed"
    send("a", 9)
    assert client.forms[-2:] == [Form.KEYFRAME, Form.SAME]
    assert len(client.decoder) == 6, "a is another channel now"


def test_all_is_freed() -> None:
    before = live_objects()
    bench, chance = Bench(), random.Random(1)
    clients = [Client(), Client()]
    frames = [publication(seq, document(seq, chance)) for seq in range(1, 50)]
    for frame in frames:
        bench.send(clients[0], frame)
    bench.send(clients[1], frames[20])
    del bench, clients, frame, frames
    gc.collect()  # the encoder calls its bench
    assert live_objects() == before


def test_squeeze_may_fail() -> None:
    def fail(payload: bytes, dictionary: bytes) -> bytes:
        raise MemoryError

    encoder = DeltaEncoder(Counters(), fail, [("token_update", "state")], 10)
    for seq in (1, 2):
        with pytest.raises(MemoryError):
            encoder.messages(Holdings(), publication(seq, b"%d" % seq))


class _Channel:
    def __init__(self, number: int) -> None:
        self.name = f"token.c{number}.update"
        self.frames: list[tuple[Frame, bytes, int]] = []


@settings(max_examples=200, deadline=None)
@given(data=st.data(), seed=st.integers(0, 1000))
def test_any_order_of_any_frames_to_anybody(data: st.DataObject, seed: int) -> None:
    """The encoder knows no connection: whoever is sent whatever, it is right."""
    chance = random.Random(seed)
    bench = Bench(channels_max=data.draw(st.integers(1, 4)))
    clients = [Client() for _ in range(3)]
    channels = [_Channel(number) for number in range(4)]
    seq = 0
    for _ in range(data.draw(st.integers(1, 150))):
        channel = chance.choice(channels)
        if not channel.frames or chance.random() < 0.6:
            seq += chance.choice((1, 1, 1, 50))
            payload = chance.choice((document(seq, chance), b"%d" % (seq % 3)))
            frame = publication(seq, payload, chance.choice((0, seq - 1)), channel.name)
            channel.frames.append((frame, payload, seq))
        else:
            frame, payload, _ = chance.choice(channel.frames)
        sent = next(one for one in channel.frames if one[0] is frame)
        for client in chance.sample(clients, chance.randrange(len(clients) + 1)):
            found = bench.send(client, frame)
            assert (found.channel, found.seq, found.data) == (channel.name, sent[2], payload)
