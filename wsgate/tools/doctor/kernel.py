"""How the kernel's network is set: queues for clients that come together, memory, tracking."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wsgate.edge.acceptor import LISTEN_BACKLOG
from wsgate.tools.doctor.files import ROOT, number, numbers
from wsgate.tools.doctor.finding import Finding, ok, warning

TOPIC: Final = "kernel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What is None, or empty, this kernel does not tell, or does not have."""

    somaxconn: int | None = None
    syncookies: int | None = None
    syn_backlog: int | None = None
    tcp_mem_pages: tuple[int, ...] = ()
    """Low, pressure, high."""
    page_bytes: int = 4096
    tracked_max: int | None = None
    tracked: int | None = None
    outgoing_ports: tuple[int, ...] = ()
    """First and last of those that the kernel gives to outgoing connections."""


def read(root: Path = ROOT) -> Network:
    net = root / "proc/sys/net"
    return Network(
        somaxconn=number(net / "core/somaxconn"),
        syncookies=number(net / "ipv4/tcp_syncookies"),
        syn_backlog=number(net / "ipv4/tcp_max_syn_backlog"),
        tcp_mem_pages=numbers(net / "ipv4/tcp_mem"),
        page_bytes=os.sysconf("SC_PAGE_SIZE"),
        tracked_max=number(net / "netfilter/nf_conntrack_max"),
        tracked=number(net / "netfilter/nf_conntrack_count"),
        outgoing_ports=numbers(net / "ipv4/ip_local_port_range"),
    )


def judge(found: Network, *, connections: int, ports: dict[str, int]) -> Iterator[Finding]:
    """``ports``: those that are listened on, by their settings."""
    yield from _accept_queue(found)
    yield from _syn_queue(found)
    yield from _memory(found, connections)
    yield from _tracking(found, connections)
    yield from _outgoing(found, ports)


def _accept_queue(found: Network) -> Iterator[Finding]:
    if found.somaxconn is None:
        return
    has = f"net.core.somaxconn is {found.somaxconn}"
    if found.somaxconn >= LISTEN_BACKLOG:
        yield ok(TOPIC, f"{has}: so many clients may wait to be accepted")
    else:
        yield warning(
            TOPIC,
            f"{has}: past it, clients that come back all at once have to try again",
            expected=f"at least {LISTEN_BACKLOG}, which each worker asks for",
            mend=f"sysctl -w net.core.somaxconn={LISTEN_BACKLOG}, or docker run --sysctl",
        )


def _syn_queue(found: Network) -> Iterator[Finding]:
    # With cookies the queue for half-open connections is as long as that to be accepted, and what
    # does not fit is answered all the same.
    if found.syncookies == 0 and found.syn_backlog is not None:
        has = f"net.ipv4.tcp_syncookies is off, net.ipv4.tcp_max_syn_backlog {found.syn_backlog}"
        if found.syn_backlog >= LISTEN_BACKLOG:
            yield ok(TOPIC, has)
        else:
            yield warning(
                TOPIC,
                has,
                expected=f"cookies, or a backlog of at least {LISTEN_BACKLOG}",
                mend="sysctl -w net.ipv4.tcp_syncookies=1",
            )


def _memory(found: Network, connections: int) -> Iterator[Finding]:
    # A socket with anything queued is charged a page at least.
    if len(found.tcp_mem_pages) != 3:
        return
    low, pressure, high = found.tcp_mem_pages
    size = f"{pressure * found.page_bytes / 1e6:.0f} MB"
    has = f"net.ipv4.tcp_mem: TCP comes under pressure at {pressure} pages ({size})"
    if pressure >= connections:
        yield ok(TOPIC, has)
    else:
        factor = -(-connections // pressure)
        yield warning(
            TOPIC,
            has,
            expected=f"a page for each of WS_MAX_CONNECTIONS={connections}, as all may be owed"
            " something at once",
            mend=f"sysctl -w net.ipv4.tcp_mem='{low * factor} {pressure * factor} {high * factor}'",
        )


def _tracking(found: Network, connections: int) -> Iterator[Finding]:
    if found.tracked_max is None or found.tracked is None:
        return
    has = f"the firewall tracks {found.tracked} connections, and {found.tracked_max} at most"
    if found.tracked + connections <= found.tracked_max:
        yield ok(TOPIC, has)
    else:
        yield warning(
            TOPIC,
            f"{has}: packets of those past it are dropped",
            expected=f"room for WS_MAX_CONNECTIONS={connections} more",
            mend=f"sysctl -w net.netfilter.nf_conntrack_max={2 * (found.tracked + connections)}, or"
            " no tracking (notrack) of WS_PORT",
        )


def _outgoing(found: Network, ports: dict[str, int]) -> Iterator[Finding]:
    if len(found.outgoing_ports) != 2:
        return
    first, last = found.outgoing_ports
    for setting, port in ports.items():
        if port and first <= port <= last:
            yield warning(
                TOPIC,
                f"{setting}={port} is among the ports of outgoing connections, {first} to {last}:"
                " one of those may hold it when the gateway starts",
                expected="a port outside of them, or a reserved one",
                mend=f"sysctl -w net.ipv4.ip_local_reserved_ports={port}",
            )
