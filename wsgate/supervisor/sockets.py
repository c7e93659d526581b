"""The listening sockets on the clients' port, one for each worker.

The kernel spreads clients over them by a hash of both addresses, which is even for thousands. One
socket for all would give each client to whoever is idle just then, and long-lived connections would
gather wherever it was quiet first.
"""

from __future__ import annotations

import socket

from wsgate.edge.acceptor import LISTEN_BACKLOG, bound_accepted


def listen(host: str, port: int, count: int) -> list[socket.socket]:
    """``count`` sockets on one port, which is any free one if it is 0.

    Raises OSError, naming the setting, if the port cannot be had.
    """
    try:
        family, address = claim(host, port)
        made: list[socket.socket] = []
        try:
            for _ in range(count):
                made.append(_bound(family, address))
                address = made[0].getsockname()  # the first has found a free one
            for one in made:
                one.listen(LISTEN_BACKLOG)
                one.setblocking(False)
        except OSError:
            for one in made:
                one.close()
            raise
    except OSError as error:
        raise OSError(
            error.errno, f"cannot listen on {host}:{port} (WS_PORT): {error.strerror}"
        ) from error
    return made


def claim(host: str, port: int) -> tuple[int, tuple[object, ...]]:
    """The family and address to listen on, which was ours alone for a moment.

    OSError if somebody listens there: another gateway could join us unnoticed.
    """
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # What a gateway before left in TIME_WAIT is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
    return family, address


def _bound(family: int, address: tuple[object, ...]) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound_accepted(one)
        one.bind(address)
    except OSError:
        one.close()
        raise
    return one
