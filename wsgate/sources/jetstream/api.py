"""JetStream's API, as far as it is needed: questions about streams, and consumers to be made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson

from wsgate.rules import covers, overlaps
from wsgate.sources.nats_link import NatsLink
from wsgate.sources.nats_requests import NoResponders, RequestDenied

OWN: Final = "$JS.API"

_NO_STREAM: Final = 10059
_NOT_ENABLED: Final = {10039, 10076}


class JetStreamAbsent(Exception):
    """There is no JetStream for this user."""


class JetStreamError(Exception):
    """JetStream does not do what it was asked."""


class StreamGone(JetStreamError):
    """There is no such stream."""


class Mirror(NamedTuple):
    """Of which stream a stream is the copy, and who can be asked about that."""

    origin: str
    api: str
    subject: str
    """What of it; empty: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInfo:
    name: str
    created: str
    subjects: tuple[str, ...]
    mirror: Mirror | None
    usable: bool
    """What it keeps are the publications as they were, and for anybody to read."""
    per_subject_max: int
    """As many of each subject are kept; 0: that is no limit."""
    first_seq: int
    last_seq: int
    messages: int
    bytes: int
    time: str
    """Of the server, which says how old its messages are."""

    @classmethod
    def parse(cls, found: dict[str, Any], api: str) -> StreamInfo:
        config, state = found["config"], found["state"]
        mirror = config.get("mirror")
        transformed = config.get("subject_transform") or (mirror or {}).get("subject_transforms")
        return cls(
            name=config["name"],
            created=found["created"],
            subjects=tuple(config.get("subjects") or ()),
            mirror=None if mirror is None else _mirror(mirror, api),
            # Of a work queue or by interest, each message goes to one consumer, or when all had it.
            usable=not transformed and config.get("retention", "limits") == "limits",
            per_subject_max=max(0, config.get("max_msgs_per_subject", 0)),
            first_seq=state["first_seq"],
            last_seq=state["last_seq"],
            messages=state["messages"],
            bytes=state["bytes"],
            time=found.get("ts", ""),
        )

    def covers(self, subject: str) -> bool:
        """Whether it keeps all that is published on the subject, as one of its own."""
        return self.usable and any(covers(own, subject) for own in self.subjects)

    def overlaps(self, subject: str) -> bool:
        return any(overlaps(own, subject) for own in self.subjects)


def _mirror(mirror: dict[str, Any], api: str) -> Mirror:
    external = (mirror.get("external") or {}).get("api", "").rstrip(".>")
    return Mirror(mirror["name"], external or api, mirror.get("filter_subject", ""))


class Consumer(NamedTuple):
    """One that was made: the first sequence it may deliver, and how many messages wait for it."""

    stream: str
    name: str
    begins: int
    pending: int


class JetStreamApi:
    """Over one link. TimeoutError, or what the link was lost for, besides the errors above."""

    def __init__(self, link: NatsLink, timeout_s: float) -> None:
        self.link = link
        self._timeout_s = timeout_s

    async def stream_names(self, subject: str) -> list[str]:
        """The streams that keep some of it, mirrors aside, which have no subjects."""
        found = await self._ask(f"{OWN}.STREAM.NAMES", {"subject": subject})
        return sorted(found.get("streams") or ())

    async def stream(self, name: str, api: str = OWN) -> StreamInfo:
        return StreamInfo.parse(await self._ask(f"{api}.STREAM.INFO.{name}"), api)

    async def make_consumer(
        self, stream: str, name: str, subjects: Sequence[str], **config: Any
    ) -> Consumer:
        """An ephemeral one, in memory, without acknowledgements."""
        found = await self._ask(
            f"{OWN}.CONSUMER.CREATE.{stream}.{name}",
            {
                "stream_name": stream,
                "action": "create",
                "config": {
                    "name": name,
                    "filter_subjects": list(subjects),
                    "ack_policy": "none",
                    "mem_storage": True,
                    "num_replicas": 1,
                    **config,
                },
            },
        )
        begins = found["delivered"]["stream_seq"] + 1
        return Consumer(stream, name, begins, found["num_pending"])

    def drop_consumer(self, consumer: Consumer) -> None:
        """If the server does not hear of it the consumer ends by itself, a little later."""
        self.link.send(f"{OWN}.CONSUMER.DELETE.{consumer.stream}.{consumer.name}")

    async def _ask(self, subject: str, question: dict[str, Any] | None = None) -> dict[str, Any]:
        payload = b"" if question is None else orjson.dumps(question)
        try:
            found = orjson.loads(await self.link.ask(subject, payload, self._timeout_s))
        except NoResponders:
            raise JetStreamAbsent("the server has no JetStream") from None
        except RequestDenied as error:
            raise JetStreamAbsent(f"this user {error}") from None
        except TimeoutError:
            raise JetStreamError(f"no answer within {self._timeout_s:g} s: {subject}") from None
        refusal = found.get("error")
        if refusal is None:
            return dict(found)
        if refusal.get("err_code") in _NOT_ENABLED:
            raise JetStreamAbsent(refusal["description"])
        raise (StreamGone if refusal.get("err_code") == _NO_STREAM else JetStreamError)(
            f"{refusal['description']}: {subject}"
        )
