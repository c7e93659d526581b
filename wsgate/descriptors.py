"""File descriptors: each connection takes one, and systems give a process few to begin with."""

from __future__ import annotations

import resource

# Listening sockets, NATS, the loop's own, log files, and some for the admin port.
SPARE = 64


def allow(connections: int) -> int | None:
    """Have the system allow that many connections; else how many it allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE
    if _at_least(soft, wanted):
        return None
    reachable = wanted if _at_least(hard, wanted) else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))
    return None if reachable == wanted else max(0, reachable - SPARE)


def _at_least(limit: int, wanted: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= wanted
