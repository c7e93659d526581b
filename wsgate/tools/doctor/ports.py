"""Ports: whether the gateway could listen on its two."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass
from typing import Final

from wsgate.supervisor.sockets import claim
from wsgate.tools.doctor.finding import Finding, ok, problem
from wsgate.tools.doctor.holders import Holder, holder_of

TOPIC: Final = "ports"


@dataclass(frozen=True, slots=True)
class Port:
    """``error`` is why it cannot be listened on; ``holder`` who has it, if that can be seen."""

    setting: str
    host: str
    port: int
    error: OSError | None = None
    holder: Holder | None = None


def read(setting: str, host: str, port: int) -> Port:
    """Take the port as a server does, and leave it again."""
    try:
        claim(host, port)
    except OSError as error:
        holder = holder_of(port) if error.errno == errno.EADDRINUSE else None
        return Port(setting, host, port, error, holder)
    return Port(setting, host, port)


def judge(found: Port) -> Finding:
    place = f"{found.setting}={found.port}"
    error = found.error
    if error is None:
        return ok(TOPIC, f"{place} is free" if found.port else f"{place} takes any free port")
    if isinstance(error, socket.gaierror):
        return _host_is_wrong(found, f"cannot be resolved: {error.strerror}")
    if error.errno == errno.EADDRNOTAVAIL:
        return _host_is_wrong(found, "is no address of this machine")
    if error.errno == errno.EADDRINUSE:
        return _held(found, place)
    if error.errno == errno.EACCES:
        return problem(
            TOPIC,
            f"{place}: this user may not listen there",
            expected="a port of 1024 or more, or the right to a lower one",
            mend=f"another {found.setting}, or in the unit"
            " AmbientCapabilities=CAP_NET_BIND_SERVICE",
        )
    return problem(
        TOPIC,
        f"{place} on {found.host}: {os.strerror(error.errno or 0)}",
        expected="a port that can be listened on",
        mend=f"another {found.setting} or WS_HOST",
    )


def _host_is_wrong(found: Port, why: str) -> Finding:
    return problem(
        TOPIC,
        f"WS_HOST={found.host} {why}",
        expected="an address of this machine; 0.0.0.0 is all of IPv4, :: of IPv6",
        mend="WS_HOST=0.0.0.0",
    )


def _held(found: Port, place: str) -> Finding:
    holder = found.holder
    if holder is not None and holder.is_gateway:
        return ok(TOPIC, f"{place} is held by a gateway that runs, {holder}")
    return problem(
        TOPIC,
        f"{place} is held by "
        + ("a process that only root can see" if holder is None else str(holder)),
        expected="a port that is free",
        mend=f"another {found.setting}, or end who has it"
        + (f": ss -ltnp 'sport = :{found.port}'" if holder is None else f": kill {holder.pid}"),
    )
