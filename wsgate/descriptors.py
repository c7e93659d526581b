"""File descriptors: each socket takes one, and systems give a process few to begin with."""

from __future__ import annotations

import resource

# Listening sockets, NATS, the loop's own, log files, and some for the admin port.
SPARE = 64


def allow(connections: int, handshakes: int) -> int | None:
    """Have the system allow that many connections, and as many handshakes beside them.

    None if it does, else how many connections it allows.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    others = handshakes + SPARE
    wanted = connections + others
    if _at_least(soft, wanted):
        return None
    reachable = wanted if _at_least(hard, wanted) else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))
    return None if reachable == wanted else max(0, reachable - others)


def _at_least(limit: int, wanted: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= wanted
