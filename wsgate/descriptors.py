"""File descriptors: each socket takes one, and systems give a process few to begin with."""

from __future__ import annotations

import resource

# Listening sockets, NATS, the loop's own, log files, and some for the admin port.
SPARE = 64


def needed(connections: int, handshakes: int) -> int:
    """Open files of a worker that has all of these at once."""
    return connections + handshakes + SPARE


def room(limit: int) -> int:
    """Sockets that a worker may have, whether they are connections yet or not."""
    return max(0, limit - SPARE)


def allow(connections: int, handshakes: int) -> int | None:
    """Have the system allow a worker that many connections, and handshakes beside them.

    None if it does, else how many sockets it allows, of both together.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed(connections, handshakes)
    if _at_least(soft, wanted):
        return None
    reachable = wanted if _at_least(hard, wanted) else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))
    return None if reachable == wanted else room(reachable)


def _at_least(limit: int, wanted: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= wanted
