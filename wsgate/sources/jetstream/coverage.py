"""Which stream a subject is taken from, if any.

From a stream only what it covers whole: of a subject that streams keep in part the rest would be
lost, and core NATS besides would bring the part twice. Of several streams the first: in the order
in which they are named, or by name when they are found by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from wsgate.rules import covers
from wsgate.sources.jetstream.api import JetStreamApi, StreamGone, StreamInfo
from wsgate.sources.jetstream.origin import origin_of


@dataclass(frozen=True, slots=True)
class Coverage:
    """``rest`` is left to core NATS; of ``partly`` a stream has some, which is of no use."""

    streams: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rest: tuple[str, ...] = ()
    partly: dict[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    """Streams that were named and are not there."""


async def find_coverage(
    api: JetStreamApi, subjects: Sequence[str], names: Sequence[str] | None
) -> Coverage:
    """``names`` are the streams to use, in their order; None: whichever keep the subjects."""
    missing: list[str] = []
    candidates: list[Candidate] = []
    for name in await _found(api, subjects) if names is None else names:
        try:
            stream = await api.stream(name)
        except StreamGone:
            missing.append(name)
        else:
            candidates.append(Candidate(stream, await origin_of(api, stream)))
    return decide(subjects, candidates, () if names is None else missing)


async def _found(api: JetStreamApi, subjects: Sequence[str]) -> list[str]:
    names: set[str] = set()
    for subject in subjects:
        names.update(await api.stream_names(subject))
    return sorted(names)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stream, and the one that it is a mirror of; of one that is no mirror the same."""

    stream: StreamInfo
    origin: StreamInfo | None

    def covers(self, subject: str) -> bool:
        mirror = self.stream.mirror
        if mirror is None:
            return self.stream.covers(subject)
        return (
            self.stream.usable
            and (not mirror.subject or covers(mirror.subject, subject))
            # Whoever named a mirror whose origin cannot be asked will know what is in it.
            and (self.origin is None or self.origin.covers(subject))
        )

    def overlaps(self, subject: str) -> bool:
        return self.stream.overlaps(subject)


def decide(
    subjects: Sequence[str], candidates: Sequence[Candidate], missing: Sequence[str] = ()
) -> Coverage:
    taken: dict[str, list[str]] = {}
    rest: list[str] = []
    partly: dict[str, str] = {}
    for subject in subjects:
        whole = next((one.stream.name for one in candidates if one.covers(subject)), None)
        if whole is not None:
            taken.setdefault(whole, []).append(subject)
            continue
        rest.append(subject)
        part = next((one.stream.name for one in candidates if one.overlaps(subject)), None)
        if part is not None:
            partly[subject] = part
    streams = {name: tuple(subjects) for name, subjects in taken.items()}
    return Coverage(streams, tuple(rest), partly, tuple(missing))
