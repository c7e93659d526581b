"""Open files: each connection takes one, and each handshake under way."""

from __future__ import annotations

import math
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wsgate.descriptors import SPARE, needed, room
from wsgate.tools.doctor.files import ROOT, number
from wsgate.tools.doctor.finding import Finding, ok, problem, warning

TOPIC: Final = "open files"


@dataclass(frozen=True, slots=True)
class OpenFiles:
    """``hard``: of a process, which it may raise its own limit to; infinite if there is none.

    ``nr_open``: what that can be raised to. ``file_max``: of all processes together.
    """

    hard: float
    nr_open: int | None
    file_max: int | None


def read(root: Path = ROOT) -> OpenFiles:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return OpenFiles(
        math.inf if hard == resource.RLIM_INFINITY else hard,
        number(root / "proc/sys/fs/nr_open"),
        number(root / "proc/sys/fs/file-max"),
    )


def judge(
    found: OpenFiles, *, connections: int, handshakes: int, workers: int
) -> Iterator[Finding]:
    """``connections`` is over all workers, ``handshakes`` of each."""
    share = needed(math.ceil(connections / workers), handshakes)
    alone = needed(connections, handshakes)
    mend = (
        f"LimitNOFILE={alone} in the unit, or docker run --ulimit nofile={alone}:{alone}, or a"
        " lower WS_MAX_CONNECTIONS"
    )
    if found.nr_open is not None and alone > found.nr_open:
        mend = f"sysctl -w fs.nr_open={alone}, then {mend}"
    has = f"a process may have {_shown(found.hard)} open files"
    if found.hard < share:
        yield problem(
            TOPIC,
            f"{has}: a worker has room for {room(int(found.hard))} sockets, and drops newcomers"
            " past that",
            expected=f"at least {share}: of WS_MAX_CONNECTIONS and WS_MAX_HANDSHAKES one part in"
            f" {workers} each, and {SPARE}",
            mend=mend,
        )
    elif found.hard < alone:
        yield warning(
            TOPIC,
            f"{has}: enough while clients are spread over {workers} workers evenly",
            expected=f"{alone}, for a worker that has all of them",
            mend=mend,
        )
    else:
        yield ok(TOPIC, f"{has}; needed are {alone}")
    everything = connections + workers * needed(0, handshakes)
    if found.file_max is not None and found.file_max < everything:
        yield problem(
            TOPIC,
            f"fs.file-max is {found.file_max}, for all processes of the machine",
            expected=f"more than {everything}, for {workers} workers",
            mend=f"sysctl -w fs.file-max={2 * everything}",
        )


def _shown(limit: float) -> str:
    return "any number of" if math.isinf(limit) else f"{limit:.0f}"
