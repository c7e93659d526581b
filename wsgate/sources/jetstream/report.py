"""What happens to streams, told to the feed and the log."""

from __future__ import annotations

from collections.abc import Sequence

from wsgate.sources import Feed
from wsgate.sources.jetstream.coverage import Coverage
from wsgate.sources.nats_report import NatsReporter


class StreamReporter:
    """Of all streams of a source; besides the :class:`NatsReporter`, which it speaks through."""

    def __init__(self, feed: Feed, name: str, report: NatsReporter) -> None:
        self._feed = feed
        self._name = name
        self._report = report
        self._absent_told = False
        self._coverage_told = Coverage()

    def feed_failed(self, error: Exception) -> None:
        self._report.feed_failed(error)

    # Which there are

    def absent(self, reason: Exception) -> None:
        """Once: it may be meant so, and every connection asks again."""
        if not self._absent_told:
            self._absent_told = True
            self._report.say(
                "info",
                "nats_jetstream_absent",
                reason=str(reason),
                hint="all subjects come over core NATS, without history; NATS_JETSTREAM=off does"
                " not ask",
            )

    def covered(self, coverage: Coverage) -> None:
        told, self._coverage_told = self._coverage_told, coverage
        if coverage == told:
            return
        if coverage.streams or told.streams:
            self._absent_told = False
            streams = {name: list(subjects) for name, subjects in coverage.streams.items()}
            self._report.say("info", "nats_streams", streams=streams, core=list(coverage.rest))
        for subject, stream in coverage.partly.items():
            self._report.say(
                "warning",
                "nats_subject_partly_kept",
                subject=subject,
                stream=stream,
                hint="it comes over core NATS, without history: let one stream keep all of it",
            )
        for stream in coverage.missing:
            self._report.say(
                "warning", "nats_stream_missing", stream=stream, hint="check NATS_JETSTREAM"
            )

    # What happens to one

    def begins(self, stream: str, subjects: Sequence[str], epoch: str, floor: int) -> None:
        self._report.tell(self._feed.begin_epoch, self._name, epoch, tuple(subjects), floor)
        self._report.say("info", "nats_stream_begins", stream=stream, epoch=epoch, floor=floor)

    def lose_up_to(self, epoch: str, seq: int) -> None:
        self._report.tell(self._feed.lose_up_to, epoch, seq)

    def left(self, subjects: Sequence[str]) -> None:
        """No stream keeps these any more: the feed counts by itself."""
        self._report.tell(self._feed.begin_epoch, self._name, "", tuple(subjects), 0)

    def filling(self, stream: str, read: int, total: int) -> None:
        self._report.say("info", "nats_stream_filling", stream=stream, read=read, total=total)

    def filled(self, stream: str, restored: int, last: int) -> None:
        self._report.say("info", "nats_stream_filled", stream=stream, restored=restored, seq=last)

    def trouble(self, stream: str, error: Exception) -> None:
        self._report.errors += 1
        self._report.complain(
            "nats_stream_trouble", ("stream", stream), stream=stream, error=_text(error)
        )

    def reset(self, stream: str, reason: str, last: int) -> None:
        self._report.complain(
            "nats_stream_reset", ("reset", stream, reason), stream=stream, reason=reason, seq=last
        )

    def missed(self, stream: str, subjects: Sequence[str], reason: str) -> None:
        self._report.say(
            "warning", "nats_stream_gap", stream=stream, subjects=list(subjects), reason=reason
        )

    def late(self, stream: str) -> None:
        self._report.complain("nats_stream_late", ("late", stream), stream=stream)


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
