"""Names of settings, and names that are none: what may have been meant, and what never was."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from wsgate.settings.model import Settings

FILE_VARIABLE: Final = "WS_CONFIG"
PREFIXES: Final = ("WS_", "NATS_", "LOG_")

# Of the gateway in Go that this one replaces: here there are neither goroutines nor a pool of them.
GO_ONLY: Final = frozenset({"WS_WORKER_POOL_SIZE", "WS_WORKER_QUEUE_SIZE", "WS_MAX_GOROUTINES"})

_NAMES: Final = [name.upper() for name in Settings.model_fields]

# What Docker's links and Kubernetes say of services that happen to be called like our settings.
_LINK = re.compile(
    r"\w+?_(?:SERVICE_(?:HOST|PORT(?:_\w+)?)"
    r"|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:ADDR|PORT|PROTO|START|END))?|ENV_\w+)"
).fullmatch
_LINK_VALUE = re.compile(r"(?:tcp|udp|sctp)://.*|/.+/.+").fullmatch


def meant(name: str, among: Iterable[str] = _NAMES) -> str | None:
    """The one among the names, settings' if not told otherwise, that is much like this one."""
    found = difflib.get_close_matches(name.upper(), among, n=1)
    return found[0] if found else None


def hint(name: str) -> str:
    """To stand after the news that there is no such setting."""
    found = meant(name)
    return f"; did you mean {found if name.isupper() else found.lower()}?" if found else ""


def unknown_variables(environment: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    """Variables that look like settings and are none, each with what may have been meant."""
    ours = [*_NAMES, FILE_VARIABLE]
    for variable, value in environment.items():
        name = variable.upper()
        known = name in ours or name in GO_ONLY or _is_link(name, value)
        if name.startswith(PREFIXES) and not known:
            yield variable, meant(name, ours)


def go_only_variables(environment: Iterable[str]) -> list[str]:
    """Variables that meant something to the gateway in Go, and mean nothing here."""
    return sorted(variable for variable in environment if variable.upper() in GO_ONLY)


def _is_link(name: str, value: str) -> bool:
    return bool(_LINK(name)) or (name.endswith(("_PORT", "_NAME")) and bool(_LINK_VALUE(value)))
