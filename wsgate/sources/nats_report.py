"""What happens at a NATS source, told to everyone concerned: the feed, the log, the counters.

Nothing here raises: most of it is called from inside nats-py, whose read loop would end.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from structlog.typing import FilteringBoundLogger

from wsgate.sources import Feed
from wsgate.sources.nats_limits import NatsLimits
from wsgate.sources.nats_login import Address, LoginError
from wsgate.throttle import Throttle


class Trouble(NamedTuple):
    """A kind of failure to connect: how the log calls it, and what the operator can do."""

    event: str
    hint: str


_LOGIN = Trouble(
    "nats_login_refused",
    "check NATS_USER and NATS_PASSWORD, NATS_TOKEN or NATS_CREDS, and the login within NATS_URL",
)
_CREDS = Trouble(
    "nats_creds_unusable",
    "NATS_CREDS must name a readable creds file, as `nsc generate creds` writes it",
)
_NKEYS = Trouble("nats_creds_unusable", "NATS_CREDS needs the package nkeys: pip install nkeys")
_TLS = Trouble(
    "nats_tls_failed", "NATS_URL must name the host as the server's certificate does, and trust it"
)
_UNREACHABLE = Trouble(
    "nats_unreachable", "check NATS_URL: is a server running there, can it be reached from here?"
)
_UNUSABLE = Trouble(
    "nats_unusable",
    "something answers at NATS_URL, but not as it should: is it a NATS server, is it well, has it"
    " reached its max_connections? Its log may tell",
)


_JETSTREAM = Trouble(
    "nats_jetstream_unavailable",
    "JetStream is there but does not answer: has the cluster a leader? NATS_JETSTREAM=off does"
    " without it",
)


class JetStreamUnavailable(Exception):
    """It cannot be asked which subjects it keeps, so nothing can begin."""


def diagnose(error: Exception) -> Trouble:
    """Tell apart what an operator has to fix in different places."""
    text = str(error).lower()
    if isinstance(error, LoginError):
        return _CREDS
    if isinstance(error, ImportError):
        return _NKEYS
    if isinstance(error, ssl.SSLError):
        return _TLS
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return _UNUSABLE
    if isinstance(error, OSError):
        return _UNREACHABLE
    if isinstance(error, JetStreamUnavailable):
        return _JETSTREAM
    if "authorization" in text or "authentication" in text:
        return _LOGIN
    return _UNUSABLE


class NatsReporter:
    """Keeps the totals of a source over all its connections; is the owner of its links."""

    def __init__(
        self,
        feed: Feed,
        name: str,
        subjects: Sequence[str],
        limits: NatsLimits,
        log: FilteringBoundLogger,
        *,
        control_subjects: Sequence[str] = (),
    ) -> None:
        self._feed = feed
        self._publish = feed.publish
        self._name = name
        self._subjects = tuple(subjects)
        self._control_subjects = frozenset(control_subjects)
        self._log = log.bind(source=name)
        self._throttle = Throttle(limits.log_interval_s)
        self.live = False
        self.connects = 0
        self.errors = 0

    # The connection's life, told by the source

    def connected(self, address: Address, missed: Sequence[str]) -> None:
        """``missed`` is what may be missing if this is not the first time."""
        self.came_live(missed if self.connects else ())
        self.connects += 1
        self.say("info", "nats_connected", server=address.url, subjects=list(self._subjects))

    def lost(self, address: Address, reason: Exception) -> None:
        self.went_stale()
        self.errors += 1
        self.say("warning", "nats_lost", server=address.url, error=_text(reason))

    def came_live(self, missed: Sequence[str]) -> None:
        self.live = True
        self.tell(self._feed.feed_live, self._name, tuple(missed))

    def went_stale(self) -> None:
        if self.live:
            self.live = False
            self.tell(self._feed.feed_stale, self._name)

    def missed(self, subjects: Sequence[str]) -> None:
        self.tell(self._feed.feed_gap, self._name, tuple(subjects))

    def failed(self, address: Address, reason: Exception) -> None:
        self.errors += 1
        trouble = diagnose(reason)
        self.complain(
            trouble.event,
            (trouble.event, address.url),
            server=address.url,
            error=_text(reason),
            hint=trouble.hint,
        )

    def stopped(self) -> None:
        self.live = False

    # The owner of a link

    def receive(self, subject: bytes, reply: bytes, payload: bytes, header: bytes | None) -> None:
        try:
            # A subject that is no UTF-8 is for the feed to refuse.
            self._publish(subject.decode("utf-8", "replace"), payload)
        except Exception as error:
            self.feed_failed(error)

    def receive_control(
        self, subject: bytes, reply: bytes, payload: bytes, header: bytes | None
    ) -> None:
        self.tell(self._feed.control, subject.decode("utf-8", "replace"), payload)

    def all_received(self) -> None:
        self.tell(self._feed.caught_up)

    def denied(self, subject: str) -> None:
        self.errors += 1
        self.complain(
            "nats_subject_denied",
            ("denied", subject),
            subject=subject,
            hint="let this user subscribe to it on the server"
            + ("" if subject in self._control_subjects else ", or take it out of NATS_SUBJECTS"),
        )

    def granted(self, subject: str) -> None:
        self._throttle.forget(("denied", subject))
        self.say("info", "nats_subject_granted", subject=subject)
        if subject not in self._control_subjects:
            self.tell(self._feed.feed_gap, self._name, (subject,))

    def complained(self, error: Exception) -> None:
        self.errors += 1
        self.complain("nats_server_complaint", "complaint", error=_text(error))

    # Below

    def tell(self, method: Callable[..., None], *args: object) -> None:
        try:
            method(*args)
        except Exception as error:
            self.feed_failed(error)

    def feed_failed(self, error: Exception) -> None:
        self.errors += 1
        self.complain("nats_feed_failed", "feed", exc_info=error)

    def complain(self, event: str, key: object, **details: Any) -> None:
        held_back = self._throttle.admit(key)
        if held_back is not None:
            self.say("error", event, held_back=held_back, **details)

    def say(self, level: str, event: str, **details: Any) -> None:
        # Whoever reads the log may be gone, and its pipe with it. The feed goes on.
        with suppress(Exception):
            getattr(self._log, level)(event, **details)


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
