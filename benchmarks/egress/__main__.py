"""How many bytes updates take in each format: a seeded feed, one client, every byte counted.

    python -m benchmarks.egress

Exit status 1 if a target is missed. Nothing here depends on the machine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from benchmarks.egress.feed import TOKENS, UPDATES, Update, updates
from wsgate.core.counters import Counters
from wsgate.core.delta import DeltaEncoder
from wsgate.core.frame import Frame
from wsgate.core.holdings import Holdings
from wsgate.deflate import compress
from wsgate.delta import Decoder, squeeze

FEW = 20 * TOKENS
TYPE = "token_update"
SEGMENT_BYTES = 52  # what TCP and IP put before each write: 20 + 20, and 12 of timestamps


@dataclass(frozen=True, slots=True)
class Publication:
    """An update as the gateway numbers it."""

    update: Update
    seq: int

    def frame(self) -> Frame:
        return Frame.publication(
            TYPE, self.update.channel, self.seq, self.seq - 1, self.update.payload
        )


Format = Callable[[Publication], list[bytes]]


@dataclass(frozen=True, slots=True)
class Target:
    format: str
    updates: int
    saved_percent: float


TARGETS = [
    Target("text + deflate", UPDATES, 33),
    Target("delta", UPDATES, 84),
    Target("delta", FEW, 80),
]


def text(publication: Publication) -> list[bytes]:
    return [bytes(publication.frame())]


def deflated(publication: Publication) -> list[bytes]:
    """As ``wsgate.core.deflate`` does it."""
    frame = publication.frame()
    plain = bytes(frame)
    squeezed = compress(message(plain))
    twin = bytes(Frame.text(squeezed, deflated=True))
    return [min(plain, twin, key=len)]


def delta(encoder: DeltaEncoder) -> Format:
    """To one more client, who decodes it all."""
    holdings, decoder = Holdings(), Decoder()

    def write(publication: Publication) -> list[bytes]:
        frames = encoder.messages(holdings, publication.frame())
        found = [decoder.decode(message(frame)) for frame in frames]
        expected = (publication.update.channel, publication.seq, publication.update.payload)
        last = found.pop()
        assert last is not None and (last.channel, last.seq, last.data) == expected
        assert not any(found)
        return frames

    return write


def new_encoder(counters: Counters) -> DeltaEncoder:
    return DeltaEncoder(counters, squeeze, [(TYPE, "state")], TOKENS)


def message(frame: bytes) -> bytes:
    """What is in an unmasked frame."""
    return frame[{126: 4, 127: 10}.get(frame[1], 2) :]


def publications(count: int) -> Iterator[Publication]:
    seqs: dict[str, int] = {}
    for update in islice(updates(), count):
        seqs[update.channel] = seqs.get(update.channel, 0) + 1
        yield Publication(update, seqs[update.channel])


def measure(count: int) -> dict[str, int]:
    """The bytes that all updates take, by format."""
    formats: dict[str, Format] = {
        "text": text,
        "text + deflate": deflated,
        "delta": delta(new_encoder(Counters())),
    }
    totals = dict.fromkeys(formats, 0)
    for publication in publications(count):
        for name, write in formats.items():
            totals[name] += sum(map(len, write(publication)))
    return totals


def table(count: int, totals: dict[str, int]) -> Iterator[str]:
    yield f"{count:,} updates of {TOKENS} channels, one client throughout"
    raw = totals["text"]
    for name, total in totals.items():
        saved, each = 100 * (1 - total / raw), total / count
        alone = 100 * (1 - (each + SEGMENT_BYTES) / (raw / count + SEGMENT_BYTES))
        yield (
            f"  {name:16} {each:7.1f} bytes an update {saved:6.1f} % less"
            f" {alone:6.1f} % with a TCP segment for each"
        )


@dataclass(frozen=True, slots=True)
class Late:
    """Readers beside the one in step, to whom updates are conflated."""

    readers: int
    every: int
    """Which update of a channel they get."""

    def line(self) -> str:
        counters = Counters()
        encoder = new_encoder(counters)
        in_step, late = delta(encoder), [delta(encoder) for _ in range(self.readers)]
        raw = late_raw = total = late_total = 0
        for publication in publications(UPDATES):
            size = len(publication.frame())
            raw += size
            total += sum(map(len, in_step(publication)))
            if publication.seq % self.every == 0:
                late_raw += size * self.readers
                late_total += sum(len(frame) for one in late for frame in one(publication))
        renewed = counters.snapshot()["keyframes_renewed"]
        return (
            f"  {self.readers:3} beside it, each {self.every}th update:"
            f" {renewed:5,} keyframes renewed, {100 * (1 - total / raw):.1f} % less in step,"
            f" {100 * (1 - late_total / late_raw):.1f} % less for them"
        )


LATE = [Late(1, 10), Late(10, 10), Late(1, 50)]


def main(argv: Sequence[str] | None = None) -> int:
    argparse.ArgumentParser(prog="python -m benchmarks.egress", description=__doc__).parse_args(
        argv
    )
    results = {count: measure(count) for count in (UPDATES, FEW)}
    for count, totals in results.items():
        print(*table(count, totals), sep="\n")
    print("delta, if there are readers who are not in step")
    for late in LATE:
        print(late.line())
    missed = 0
    for target in TARGETS:
        totals = results[target.updates]
        saved = 100 * (1 - totals[target.format] / totals["text"])
        met = saved >= target.saved_percent
        missed += not met
        print(
            f"{target.format}, {target.updates:,} updates: {saved:.1f} % less,"
            f" {target.saved_percent:g} % wanted: {'met' if met else 'MISSED'}"
        )
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
