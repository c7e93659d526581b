"""NATS: whether each server of NATS_URL lets the gateway in, and to what it wants to hear."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from wsgate.blueprint import NatsBlueprint
from wsgate.sources.nats_limits import NatsLimits
from wsgate.sources.nats_link import NatsLink
from wsgate.sources.nats_login import Address, Login
from wsgate.sources.nats_report import diagnose
from wsgate.tools.doctor.finding import Finding, ok, problem, warning

TOPIC: Final = "NATS"
LIMITS: Final = NatsLimits(connect_timeout_s=3.0, close_timeout_s=1.0)


@dataclass(frozen=True, slots=True)
class Reached:
    """``round_trip_s`` is the time to an answer; ``denied`` are the subjects it refuses us."""

    server: str
    version: str
    round_trip_s: float
    denied: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Missed:
    server: str
    error: Exception


async def read(
    nats: NatsBlueprint, control_subjects: Sequence[str]
) -> tuple[Reached | Missed, ...]:
    """Connect to every server as the gateway does, and leave again."""
    login = Login(nats.creds_file, nats.user, nats.password, nats.token)
    addresses = [Address.parse(server) for server in nats.servers]
    return tuple(
        await asyncio.gather(
            *(
                _try(address, address.login or login, nats.subjects, control_subjects)
                for address in addresses
            )
        )
    )


async def _try(
    address: Address, login: Login, subjects: Sequence[str], control_subjects: Sequence[str]
) -> Reached | Missed:
    visit = _Visit()
    link = NatsLink(
        address, login, subjects, visit, LIMITS, control_subjects=tuple(control_subjects)
    )
    try:
        await link.open()
        async with asyncio.timeout(LIMITS.heartbeat_timeout_s):
            round_trip_s = await link.round_trip_s()
        return Reached(address.url, link.server_version, round_trip_s, tuple(visit.refused))
    except Exception as error:
        return Missed(address.url, error)
    finally:
        await link.close()


class _Visit:
    """The owner of a link that wants no messages."""

    def __init__(self) -> None:
        self.refused: list[str] = []

    def receive(self, *message: bytes | None) -> None:
        pass

    def receive_control(self, *message: bytes | None) -> None:
        pass

    def all_received(self) -> None:
        pass

    def denied(self, subject: str) -> None:
        self.refused.append(subject)

    def granted(self, subject: str) -> None:
        pass

    def complained(self, error: Exception) -> None:
        pass


def judge(found: Sequence[Reached | Missed]) -> Iterator[Finding]:
    """A server that cannot be had is a problem only if there is no other."""
    some = any(isinstance(one, Reached) for one in found)
    for one in found:
        if isinstance(one, Reached):
            yield from _judge_reached(one)
        else:
            trouble = diagnose(one.error)
            what = trouble.event.removeprefix("nats_").replace("_", " ")
            yield (warning if some else problem)(
                TOPIC,
                f"{one.server}: {what}: {str(one.error) or type(one.error).__name__}",
                expected="a NATS server that lets this gateway in",
                mend=trouble.hint,
            )


def _judge_reached(one: Reached) -> Iterator[Finding]:
    yield ok(
        TOPIC,
        f"{one.server}: version {one.version}, answers in {one.round_trip_s * 1000:.1f} ms",
    )
    for subject in one.denied:
        yield problem(
            TOPIC,
            f"{one.server} refuses the subscription to {subject!r}",
            expected="that this user may subscribe to NATS_SUBJECTS, and with WS_AUTH=jwt to"
            " wsgate.control.revoke",
            mend=f"permissions {{ subscribe: {subject!r} }} for this user on the server, or another"
            " NATS_SUBJECTS",
        )
